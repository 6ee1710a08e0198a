"""The contract of a loader: it reads the data of records from a store that is not ours, and never writes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from partners.base import Owner
from partners.requirements import Option, problems, resolve


class LoaderError(Exception):
    """The data of one record cannot be used; the message says why, and never shows any of it."""


class StoreAwayError(Exception):
    """The store cannot be asked now; the message names the cause."""


class LoaderConfigError(ValueError):
    """An option is missing or wrong; the message says what it should hold."""


@dataclass(frozen=True)
class Reference:
    """Whose data it is, and which."""

    user_hash: str
    data_id: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What the store holds. `payload` must be the same bytes each time: other ones are refused from then on."""

    payload: bytes
    schema_name: str = ""
    recorded_at: datetime | None = None
    owner: Owner | None = None


class Loader:
    """Reads one data type. Made once in each process, from the options of the settings."""

    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, options: Mapping[str, Any]) -> None:
        wrong = problems(self.options, options)
        if wrong:
            raise LoaderConfigError("; ".join(f"{option} {problem}" for option, problem in sorted(wrong.items())))
        self.config = resolve(self.options, options)

    def load(self, references: Sequence[Reference]) -> Mapping[Reference, Loaded | LoaderError]:
        """Return what the store holds of these; what is not there (yet) is left out.

        Must answer within a third of the lease. Raises StoreAwayError when the store cannot be asked; whatever else it
        raises is asked for again one by one, and ends the guilty record's work.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections; called once when the configuration changed."""
