"""How far one partner's part of an old record had come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dataunion.state import Known, Status


class Kind(StrEnum):
    """What is counted."""

    SYNCED = "synced"
    HALF_DONE = "half done"
    FAILED = "failed"
    NEW = "not begun"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One partner's part: how it is counted, and what ingest is told of it."""

    kind: Kind
    known: Known


def unfinished(error_message: str) -> Side:
    """Return the part of which nothing is done: failed where the old service said why."""
    if error_message:
        return Side(kind=Kind.FAILED, known=Known(status=Status.FAILED, error_message=error_message))
    return Side(kind=Kind.NEW, known=Known())
