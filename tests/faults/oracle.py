"""One judge for every fault scenario: our database against what the partners hold, by ten invariants.

I1 nothing is lost · I2 nothing is twice · I3 synced means equal bytes · I4 one live lease, no stale write · I5 attempts
without gaps · I6 statistics equal a recount · I7 nothing after a withdrawal · I8 no slowdown by another partner · I9 no
secret anywhere · I10 everything bounded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from django.db import transaction

from dataunion import roster, stats
from dataunion.stats import Totals
from tests.faults.chronicle import Chronicle, find_tokens
from tests.faults.evidence import MARKER, Evidence
from tests.faults.rules.chain import check_chain
from tests.faults.rules.counts import check_hours, check_totals
from tests.faults.rules.history import check_attempts, check_bounds
from tests.faults.rules.leases import check_changes, check_rows
from tests.faults.rules.onchain import read_chain
from tests.faults.rules.secrecy import check_secrecy, in_every_form
from tests.faults.rules.services import check_fakes, check_receiver
from tests.faults.rules.storage import check_storage, read_storage
from tests.faults.rules.work import check_work
from tests.faults.rules.world import World, read_world
from tests.faults.violation import Violation

__all__ = [
    "MARKER",
    "Chronicle",
    "Evidence",
    "Violation",
    "assert_nothing_violated",
    "find_violations",
    "in_every_form",
    "slowdown",
]

MAX_SLOWDOWN = 1.2
_BETWEEN_S = 0.2  # two looks


def find_violations(evidence: Evidence) -> list[Violation]:
    """Return every broken promise, by invariant; none is the answer that a scenario wants.

    Only what every look within the evidence's patience finds is one.
    """
    found, give_up_at = _look(evidence), time.monotonic() + evidence.patience_s
    while found and time.monotonic() < give_up_at:
        time.sleep(_BETWEEN_S)
        again = set(_look(evidence))
        found = [violation for violation in found if violation in again]
    return found


def assert_nothing_violated(evidence: Evidence) -> None:
    """Fail with every violation by name."""
    found = find_violations(evidence)
    assert not found, f"{len(found)} violations\n" + "\n".join(map(str, found[:50]))


def slowdown(baseline_s: Sequence[float], other_s: Sequence[float]) -> float:
    """Return how many times longer the slow ones (95 of 100 are faster) took than while all was well."""
    return _p95(other_s) / _p95(baseline_s)


def _p95(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def _look(evidence: Evidence) -> list[Violation]:
    world, totals = _read()
    found = [*_ours(world, totals, evidence), *_theirs(world, evidence), *_measured(evidence)]
    return sorted(dict.fromkeys(found), key=lambda one: (int(one.invariant[1:]), one.what))


def _read() -> tuple[World, Totals]:
    """Read rows and statistics as of one moment, where the database can."""
    roster.find_partners()
    stats.read_totals()  # now nothing is left to be made within the transaction
    with transaction.atomic():
        return read_world(), stats.read_totals()


def _ours(world: World, totals: Totals, evidence: Evidence) -> Iterator[Violation]:
    changes = evidence.chronicle.changes() if evidence.chronicle else []
    yield from check_work(world, evidence.at_rest)
    yield from check_rows(world)
    yield from check_changes(changes)
    yield from check_attempts(world, evidence.at_rest, evidence.told)
    yield from check_bounds(world)
    yield from check_totals(world, totals)
    if evidence.hours:
        yield from check_hours()
    yield from check_secrecy(world, evidence, find_tokens(changes))
    for damage in (*world.damaged, *(f"{side}: {side.damage}" for side in world.sides.values() if side.damage)):
        yield Violation("I3", f"what is stored does not open: {damage}")


def _theirs(world: World, evidence: Evidence) -> Iterator[Violation]:
    told = {(str(record), partner) for record, partner in evidence.told}
    yield from check_fakes(world, told)
    if evidence.sandboxes is not None:
        yield from check_storage(world, read_storage(evidence.sandboxes), told)
        yield from check_chain(world, read_chain(evidence.sandboxes), told, evidence.foreign_txs)
        yield from check_receiver(world, evidence.sandboxes, told)


def _measured(evidence: Evidence) -> Iterator[Violation]:
    if evidence.baseline_s and evidence.healthy_s:
        ratio = slowdown(evidence.baseline_s, evidence.healthy_s)
        if ratio > MAX_SLOWDOWN:
            yield Violation("I8", f"a healthy partner's p95 was {ratio:.2f} times its baseline")
