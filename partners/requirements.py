"""Config as data: what an adapter needs to know, so that validation, admin, API and docs read one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MASK = "••••••••"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting of an adapter. `holds` completes the sentence "it should hold …" in every error message."""

    name: str
    holds: str
    label: str = ""
    default: str | None = None
    required: bool = True
    pattern: str = ".+"
    secret: bool = False

    @property
    def choices(self) -> list[str]:
        """Return the values that it can have, where its pattern is a list of words; else none."""
        return self.pattern.split("|") if re.fullmatch(r"\w+(\|\w+)+", self.pattern) else []

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with `value`, or None."""
        if value in (None, ""):
            return f"is not set; it should hold {self.holds}" if self.required and self.default is None else None
        if not re.fullmatch(self.pattern, str(value)):
            shown = "its value" if self.secret else repr(value)
            return f"cannot be {shown}; it should hold {self.holds}"
        return None


def Secret(**fields: Any) -> Option:  # noqa: N802 - reads as a kind of Option
    """Make an Option that is sealed at rest and shown masked."""
    return Option(secret=True, **fields)


def resolve(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, str]:
    """Return every option's value, defaults filled in; call `problems` first."""
    return {o.name: str(given.get(o.name) or o.default or "") for o in options}


def problems(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, str]:
    """Map option name to what is wrong with it; empty when all is well. Unknown names are problems too."""
    table = {o.name: o for o in options}
    found = {name: "is not an option here" for name in given if name not in table}
    for name, option in table.items():
        problem = option.problem(given.get(name))
        if problem:
            found[name] = problem
    return found


def masked(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the options as staff may see them: secrets replaced by a mask that does not tell their length."""
    secret = {o.name for o in options if o.secret}
    return {k: (MASK if k in secret and v else str(v)) for k, v in given.items()}
