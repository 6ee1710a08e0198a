"""The recount: it corrects counters that went adrift, is exact while records pour in, and is never applied twice."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion import reconcile, stats
from dataunion.clock import db_now
from dataunion.integrity import counters
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import AuditState, Counters, DataUnion
from tests.dataunion.work import at_once, hand_in

pytestmark = pytest.mark.django_db(transaction=True)
RIGHT = {"records": 3, "enrolled": {"akave": {"health": 2, "checkin": 1}, "vana": {"health": 2, "checkin": 1}}}


@pytest.fixture
def _three_counted() -> None:
    hand_in("a")
    hand_in("b")
    hand_in("c", data_type="checkin")
    stats.fold()


def recount(limit: int = 100) -> Findings:
    """Recount to the end, a page at a time."""
    found, going = Findings(db_now()), counters.begin()
    while going:
        going = counters.go_on(found, going, limit)
    return found


def counts() -> dict[str, Any]:
    return dict(Counters.objects.get().counts)


@pytest.mark.usefixtures("_three_counted")
@pytest.mark.parametrize("limit", [1, 3])
def test_right_counters_are_left_alone(limit: int) -> None:
    assert recount(limit).repaired == {}
    assert (counts(), Counters.objects.get().recounts) == (RIGHT, 0)


@pytest.mark.usefixtures("_three_counted")
@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.parametrize(
    "wrong",
    [
        {"records": 2, "enrolled": {}},
        {"records": 9, "enrolled": {"akave": {"health": 9}, "gone": {"health": 4}}},
        {"records": 3, "enrolled": {**RIGHT["enrolled"], "vana": {"health": 1, "checkin": 2}}},  # type: ignore[dict-item]
    ],
)
def test_wrong_counters_are_corrected(wrong: dict[str, Any], limit: int) -> None:
    Counters.objects.update(counts=wrong)

    assert recount(limit).repaired == {Kind.COUNTERS: 1}

    assert (counts(), Counters.objects.get().recounts) == (RIGHT, 1)
    assert recount().repaired == {}


@pytest.mark.usefixtures("_three_counted")
def test_records_that_a_stalled_fold_numbered_too_late_are_counted() -> None:
    late = hand_in("late")
    DataUnion.objects.filter(pk=late.pk).update(counted=1)  # another fold has applied this number since
    assert stats.read_totals().records == 3

    assert recount().repaired == {Kind.COUNTERS: 1}
    assert stats.read_totals().records == 4


@pytest.mark.usefixtures("_three_counted")
def test_what_is_folded_while_it_counts_is_not_counted_twice() -> None:
    Counters.objects.update(counts={"records": 1, "enrolled": {}})
    found, going = Findings(db_now()), counters.begin()
    assert going
    hand_in("d")
    stats.fold()
    going = counters.go_on(found, going, 2)
    assert going
    hand_in("e")

    assert counters.go_on(found, going, 2) is None

    assert found.repaired == {Kind.COUNTERS: 1}
    assert (counts()["records"], stats.read_totals().records) == (4, 5)
    stats.fold()
    assert recount().repaired == {}


@pytest.mark.usefixtures("_three_counted")
def test_two_recounts_at_once_correct_once() -> None:
    Counters.objects.update(counts={"records": 1, "enrolled": {}})
    first, second = counters.begin(), counters.begin()
    assert first
    assert second
    found = Findings(db_now())

    counters.go_on(found, first, 100)
    counters.go_on(found, second, 100)

    assert (found.repaired, counts()) == ({Kind.COUNTERS: 1}, RIGHT)


@pytest.mark.usefixtures("_three_counted")
def test_a_fold_that_read_the_counters_before_a_recount_does_not_undo_it() -> None:
    Counters.objects.update(counts={"records": 1, "enrolled": {}})
    before = Counters.objects.get()
    recount()

    stale = Counters.objects.filter(pk=before.pk, applied=before.applied, recounts=before.recounts)

    assert stale.update(counts={"records": 2, "enrolled": {}}) == 0
    assert counts() == RIGHT


def test_nothing_is_wrong_while_records_pour_in_and_are_folded() -> None:
    def pour(name: str) -> None:
        for n in range(6):
            hand_in(f"{name}{n}")

    def fold() -> None:
        for _ in range(8):
            stats.fold()

    def look() -> int:
        return sum(recount(2).repaired.total() for _ in range(4))

    hand_in("first")
    results = at_once(lambda: pour("a"), lambda: pour("b"), fold, look)

    assert results == [None, None, None, 0]
    stats.fold()
    assert (counts()["records"], recount().repaired) == (13, {})


@pytest.mark.usefixtures("_three_counted")
def test_the_clocks_audits_go_on_with_one_recount() -> None:
    Counters.objects.update(counts={"records": 1, "enrolled": {}})

    found = [reconcile.audit_slice(db_now(), limit=1).repaired for _ in range(2)]

    assert found == [{Kind.COUNTERS: 1}, {}]
    assert AuditState.objects.get().repaired == {"counters adrift": 1}
