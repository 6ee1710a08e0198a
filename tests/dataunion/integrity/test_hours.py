"""Hours against attempts: what differs is written anew, what has been pruned or still moves is left."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from dataunion import reconcile, stats
from dataunion.clock import db_now
from dataunion.integrity import hours
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import HourStat, SyncAttempt
from tests.factories import HourStatFactory, SyncAttemptFactory

pytestmark = pytest.mark.django_db(transaction=True)


def hour_ago(n: int) -> datetime:
    return (db_now() - timedelta(hours=n)).replace(minute=0, second=0, microsecond=0)


def attempts(n: int, hours_ago: int) -> None:
    for _ in range(n):
        SyncAttemptFactory(created_at=hour_ago(hours_ago) + timedelta(minutes=10))


def check(hours_ago: int) -> int:
    found = Findings(db_now())
    hours.check_hour(found, hour_ago(hours_ago))
    assert set(found.repaired) <= {Kind.HOUR}
    return found.repaired.total()


def count(hours_ago: int) -> list[int]:
    return list(HourStat.objects.filter(hour=hour_ago(hours_ago)).values_list("count", flat=True))


def test_hours_that_were_rolled_up_are_left_alone() -> None:
    for n in (1, 2, 20):
        attempts(n, n)
    stats.roll_up(db_now())

    assert [check(n) for n in (0, 1, 2, 20)] == [0, 0, 0, 0]
    assert (count(1), count(2), count(20)) == ([1], [2], [20])


def test_an_attempt_that_came_after_its_hour_was_rolled_up_is_counted() -> None:
    attempts(2, 3)
    attempts(1, 1)
    stats.roll_up(db_now())
    attempts(1, 3)
    stats.roll_up(db_now())
    assert count(3) == [2]

    assert check(3) == 1
    assert (count(3), check(3)) == ([3], 0)


@pytest.mark.parametrize("hours_ago", [0, 1, 5])
def test_a_count_that_is_too_high_is_corrected(hours_ago: int) -> None:
    attempts(2, hours_ago)
    stats.roll_up(db_now())
    HourStat.objects.update(count=9, durations={"100": 9})

    assert check(hours_ago) == 1

    row = HourStat.objects.get()
    assert (row.count, row.durations) == (2, {"300": 2})


def test_an_hour_without_attempts_is_deleted() -> None:
    HourStatFactory(hour=hour_ago(2))

    assert check(2) == 1
    assert HourStat.objects.count() == 0


def test_what_has_been_pruned_since_keeps_its_statistics() -> None:
    HourStatFactory(hour=hour_ago(80))
    attempts(5, 50)
    attempts(1, 40)
    stats.roll_up(db_now())
    kept = SyncAttempt.objects.order_by("-pk").values_list("pk", flat=True)[:3]
    SyncAttempt.objects.exclude(pk__in=list(kept)).delete()

    assert [check(80), check(50)] == [0, 0]
    assert (count(80), count(50)) == ([3], [5])


def test_the_hour_that_the_rolling_up_goes_on_from_is_left_to_it() -> None:
    attempts(1, 1)
    stats.roll_up(db_now())
    attempts(1, 1)

    assert check(1) == 0


def test_the_whole_walk_finds_every_hour_once() -> None:
    for n in (100, 3, 1):
        attempts(1, n)
    HourStatFactory(hour=hour_ago(200))
    HourStatFactory(hour=hour_ago(3))

    assert list(hours.all_hours()) == [hour_ago(n) for n in (200, 100, 3, 1)]


def test_the_clocks_audit_looks_at_the_hour_before() -> None:
    attempts(2, 1)
    attempts(1, 0)
    stats.roll_up(db_now())
    HourStat.objects.filter(hour=hour_ago(1)).update(count=1)

    assert reconcile.audit_slice(db_now()).repaired == {Kind.HOUR: 1}
    assert count(1) == [2]


def test_without_statistics_there_is_nothing_to_do() -> None:
    attempts(1, 1)

    assert reconcile.audit(db_now()) == 0
    assert (HourStat.objects.count(), SyncAttempt.objects.count()) == (0, 1)
