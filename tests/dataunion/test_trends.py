"""Figures over time: from whole hours of statistics, and the last hour from its attempts."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from dataunion import trends
from dataunion.models import SyncAttempt
from dataunion.trends import WINDOWS, Tally, Trends, count_synced, read_trends
from tests.factories import DataUnionFactory, HourStatFactory, SyncAttemptFactory

NOW = datetime(2026, 3, 4, 12, 34, 56, tzinfo=UTC)
HOUR = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "first", "last", "count"),
    [
        ("1h", datetime(2026, 3, 4, 11, 35, tzinfo=UTC), datetime(2026, 3, 4, 12, 30, tzinfo=UTC), 12),
        ("24h", datetime(2026, 3, 3, 13, tzinfo=UTC), HOUR, 24),
        ("7d", datetime(2026, 2, 26, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC), 7),
        ("30d", datetime(2026, 2, 3, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC), 30),
    ],
)
def test_a_window_is_made_of_whole_steps_of_which_the_last_is_under_way(
    key: str, first: datetime, last: datetime, count: int
) -> None:
    starts = WINDOWS[key].starts(NOW)

    assert (starts[0], starts[-1], len(starts)) == (first, last, count)


@pytest.mark.parametrize(
    ("durations", "half", "most"),
    [
        ({}, None, None),
        ({"10": 1}, 10, 10),
        ({"10": 50, "300": 45, "more": 5}, 10, 300),
        ({"10": 50, "300": 44, "more": 6}, 10, math.inf),
        ({"30": 1, "1000": 1}, 30, 1000),
    ],
)
def test_a_share_of_attempts_lasts_at_most_the_bound_of_its_bucket(
    durations: dict[str, int], half: float | None, most: float | None
) -> None:
    tally = Tally()
    tally.add("synced", durations)

    assert (tally.lasts_at_most(50), tally.lasts_at_most(95)) == (half, most)


def test_each_attempt_is_counted_as_synced_or_later_or_failed() -> None:
    tally = Tally()
    for outcome in (
        "synced",
        "transient",
        "limited",
        "unknown",
        "permanent",
        "blocked",
        "crashed",
        "of a newer version",
    ):
        tally.add(outcome, {"10": 1})

    assert (tally.attempts, tally.synced, tally.later, tally.failed) == (8, 1, 3, 4)


@pytest.mark.django_db
def test_hours_are_added_up_per_partner_and_step() -> None:
    HourStatFactory(hour=HOUR, data_type="health", count=3, durations={"100": 3})
    HourStatFactory(hour=HOUR, data_type="checkin", count=1, durations={"3000": 1})
    HourStatFactory(hour=HOUR - timedelta(hours=23), outcome="permanent", count=2, durations={"10": 2})
    HourStatFactory(hour=HOUR - timedelta(hours=24), count=9, durations={"10": 9})
    HourStatFactory(hour=HOUR, partner="akave", count=5, durations={"10": 5})

    found = read_trends(WINDOWS["24h"], NOW)

    vana = found.steps("vana")
    assert (vana[-1].synced, vana[0].failed, found.whole("vana").attempts) == (4, 2, 6)
    assert [tally.attempts for tally in found.all_partners()] == [2, *[0] * 22, 9]
    assert found.whole("vana").lasts_at_most(95) == 3000
    assert found.whole("webhook") == Tally()


@pytest.mark.django_db
def test_days_are_added_up_from_their_hours() -> None:
    for hour in (0, 7, 12):
        HourStatFactory(hour=HOUR.replace(hour=hour), durations={"10": 1}, count=1)
    HourStatFactory(hour=HOUR - timedelta(days=6), durations={"10": 4}, count=4)

    found = read_trends(WINDOWS["7d"], NOW)

    assert [tally.synced for tally in found.steps("vana")] == [4, 0, 0, 0, 0, 0, 3]


def test_throughput_is_per_hour_that_has_passed() -> None:
    found = Trends(starts=[HOUR - timedelta(hours=1), HOUR], since=HOUR - timedelta(hours=1), until=HOUR)
    found.fill([(HOUR, "vana", "synced", {"10": 90}), (HOUR, "vana", "transient", {"10": 7})])

    assert found.synced_per_hour("vana") == 90.0


@pytest.mark.django_db
def test_the_last_hour_is_read_from_its_attempts() -> None:
    record = DataUnionFactory()
    for minutes, outcome in ((0, "synced"), (3, "transient"), (58, "synced"), (61, "synced")):
        SyncAttemptFactory(record=record, created_at=NOW - timedelta(minutes=minutes), outcome=outcome, duration_ms=31)

    found = read_trends(WINDOWS["1h"], NOW)

    steps = found.steps("vana")
    assert (steps[-1].synced, steps[-1].later, steps[0].synced, found.whole("vana").attempts) == (1, 1, 1, 3)
    assert (found.whole("vana").lasts_at_most(50), found.is_cut) == (100, False)


@pytest.mark.django_db
def test_too_many_attempts_shorten_the_hour_and_it_is_told() -> None:
    record = DataUnionFactory()
    common = {"record": record, "partner": "vana", "data_type": "health", "number": 1, "outcome": "synced"}
    SyncAttempt.objects.bulk_create(
        SyncAttempt(**common, fence=n, started_at=NOW, duration_ms=5, created_at=NOW - timedelta(milliseconds=100 * n))
        for n in range(trends._NEWEST + 3)
    )

    found = read_trends(WINDOWS["1h"], NOW)

    assert found.whole("vana").attempts == trends._NEWEST
    assert (found.is_cut, found.since) == (True, NOW - timedelta(milliseconds=100 * (trends._NEWEST - 1)))


@pytest.mark.django_db
def test_what_was_synced_in_24_hours_is_counted_per_partner() -> None:
    HourStatFactory(hour=HOUR, count=3)
    HourStatFactory(hour=HOUR - timedelta(hours=23), count=4, data_type="checkin")
    HourStatFactory(hour=HOUR - timedelta(hours=24), count=50)
    HourStatFactory(hour=HOUR, outcome="transient", count=60)
    HourStatFactory(hour=HOUR, partner="akave", count=1)

    assert count_synced(NOW) == {"vana": 7, "akave": 1}
