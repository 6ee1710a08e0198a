"""What the oracle says when a promise was broken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken promise: `invariant` is I1 to I10, `what` names partner, record and finding, never a secret."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.what}"
