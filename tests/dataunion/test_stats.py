"""Statistics: exact at any moment, whatever happened before and wherever a fold died."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from dataunion import claims, stats
from dataunion.clock import db_now
from dataunion.ingest import NewRecord, register_records
from dataunion.models import Counters, DataUnion, HourStat, SyncJob
from dataunion.state import FAILING, Status
from dataunion.stats import PartnerTotals, Totals, success_rate
from dataunion.sync import engine
from partners.errors import BlockedError, PermanentError, TransientError
from partners.testing import FakePartner
from tests.dataunion.work import ago, at_once, hand_in, make_due, set_partner
from tests.factories import SyncAttemptFactory

pytestmark = pytest.mark.django_db(transaction=True)


def recount() -> Totals:
    """Count everything anew, record by record."""
    partners = {}
    for name in ("akave", "vana"):
        status = {job.record_id: job.status for job in SyncJob.objects.filter(partner=name)}
        found: Counter[str] = Counter()
        for record in DataUnion.objects.all():
            if name not in record.partners:
                continue
            found["enrolled"] += 1
            job = status.get(record.pk)
            found["failed" if job in FAILING else "pending" if job else "synced"] += 1
        partners[name] = PartnerTotals(
            enrolled=found["enrolled"], synced=found["synced"], failed=found["failed"], pending=found["pending"]
        )
    return Totals(records=DataUnion.objects.count(), partners=partners)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_totals_equal_a_recount_after_whatever_happened(seed: int) -> None:
    chance = random.Random(seed)
    errors = [TransientError("busy"), PermanentError("no"), BlockedError("not allowed")]

    def register() -> None:
        news = [
            NewRecord(
                user_hash="u1",
                data_type=chance.choice(["health", "checkin"]),
                data_id=str(chance.randrange(40)),
                payload=b"{}",
            )
            for _ in range(3)
        ]
        register_records(news)

    def push() -> None:
        name = chance.choice(["akave", "vana"])
        FakePartner.service(name).plan("store", *chance.choices(errors, k=2))
        SyncJob.objects.filter(status="retrying").update(due_at=ago(5))
        engine.push(name)

    def report() -> None:
        record = chance.choice(list(DataUnion.objects.all()) or [None])
        if record and "akave" in record.partners:
            record.update_partner_sync("akave", chance.random() < 0.5, chance.choice([None, "broken"]))

    def reopen() -> None:
        claims.reopen(SyncJob.objects.filter(status="failed"), trigger="ann", priority=1, now=db_now())

    def switch() -> None:
        set_partner("vana", data_types=chance.choice([[], ["health"]]))

    for _ in range(25):
        chance.choice([register, register, push, report, reopen, switch, stats.fold])()
        assert stats.read_totals() == recount()


def test_nothing_is_counted_as_nothing() -> None:
    nothing = PartnerTotals(enrolled=0, synced=0, failed=0, pending=0)

    assert stats.read_totals() == Totals(records=0, partners={"akave": nothing, "vana": nothing})


def test_a_partner_that_is_off_is_left_out() -> None:
    set_partner("vana", state="off")

    assert list(stats.read_totals().partners) == ["akave"]


def test_running_jobs_are_pending() -> None:
    hand_in()
    claims.claim("akave", limit=1)

    assert stats.read_totals().partners["akave"] == PartnerTotals(enrolled=1, synced=0, failed=0, pending=1)


def test_a_job_that_is_done_and_not_published_yet_counts_as_synced() -> None:
    hand_in()
    SyncJob.objects.filter(partner="akave").update(status=Status.DONE)

    assert stats.read_totals().partners["akave"].synced == 1


def test_open_work_in_a_status_of_a_newer_version_is_not_counted_as_synced() -> None:
    hand_in()
    SyncJob.objects.filter(partner="akave").update(status="aside")

    assert stats.read_totals().partners["akave"] == PartnerTotals(enrolled=1, synced=0, failed=0, pending=1)


# --- the fold


def test_a_fold_counts_each_record_once() -> None:
    hand_in("a")
    hand_in("b", data_type="checkin")

    assert [stats.fold(), stats.fold()] == [2, 0]

    assert Counters.objects.get().counts == {
        "records": 2,
        "enrolled": {"akave": {"health": 1, "checkin": 1}, "vana": {"health": 1, "checkin": 1}},
    }
    assert stats.read_totals() == recount()


def test_a_fold_that_died_between_its_writes_is_made_good_by_the_next() -> None:
    hand_in("a")
    stats.fold()
    hand_in("b")
    DataUnion.objects.filter(counted=0).update(counted=2)  # as the fold does, and dies
    assert stats.read_totals() == recount()
    hand_in("c")

    assert stats.fold() == 2

    assert Counters.objects.get().counts["records"] == 3
    assert set(DataUnion.objects.values_list("counted", flat=True)) == {1, 2}
    assert stats.read_totals() == recount()


def test_totals_read_while_folds_run_are_exact() -> None:
    for number in range(8):
        hand_in(str(number))
    stats.read_totals()

    results = at_once(stats.fold, *[lambda: [stats.read_totals().records for _ in range(5)]] * 3)

    assert results == [8, [8] * 5, [8] * 5, [8] * 5]


def test_the_counters_row_is_made_once() -> None:
    set_partner("akave")

    assert at_once(*[lambda: stats.read_counters().name] * 6) == ["ingest"] * 6
    assert Counters.objects.count() == 1


# --- rates


@pytest.mark.parametrize(
    ("synced", "total", "expected"),
    [
        (0, 0, 0),
        (0, 5, 0),
        (5, 5, 100),
        (145, 150, 97),
        (1, 200, 1),  # 0.5
        (1, 201, 0),
        (199, 200, 100),  # 99.5
        (2, 3, 67),
        (1, 3, 33),
        (10**12 - 1, 10**12, 100),
    ],
)
def test_the_success_rate_is_an_integer_per_cent_half_up(synced: int, total: int, expected: int) -> None:
    assert success_rate(synced, total) == expected


@pytest.mark.sql_only("statements")
def test_a_record_that_is_numbered_between_the_two_questions_counts_once() -> None:
    hand_in()
    asked = []

    def number(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if '"counted" = ' in sql and not asked:
            asked.append(sql)
            DataUnion.objects.filter(counted=0).update(counted=1)
        return result

    with connection.execute_wrapper(number):
        totals = stats.read_totals()

    assert (len(asked), totals.records) == (1, 1)


# --- hours

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def roll_up(now: datetime = NOON + timedelta(minutes=30)) -> list[tuple[datetime, str, str, int, dict[str, int]]]:
    stats.roll_up(now)
    rows = HourStat.objects.order_by("hour", "outcome")
    return list(rows.values_list("hour", "outcome", "error_class", "count", "durations"))


def test_attempts_are_rolled_up_by_hour_outcome_and_cause() -> None:
    for minute, ms in ((0, 10), (59, 11), (30, 200_000)):
        SyncAttemptFactory(created_at=NOON - timedelta(hours=1) + timedelta(minutes=minute), duration_ms=ms)
    SyncAttemptFactory(created_at=NOON, outcome="synced", error_class="", duration_ms=999)

    assert roll_up() == [
        (NOON - timedelta(hours=1), "transient", "transient", 3, {"10": 1, "30": 1, "more": 1}),
        (NOON, "synced", "", 1, {"1000": 1}),
    ]


def test_the_present_hour_is_written_anew_each_time() -> None:
    SyncAttemptFactory(created_at=NOON, duration_ms=5)
    first = roll_up()
    SyncAttemptFactory(created_at=NOON + timedelta(minutes=1), duration_ms=5)

    assert [row[3] for row in first] == [1]
    assert [row[3] for row in roll_up()] == [2]


def test_older_attempts_than_a_day_are_not_looked_for_at_first() -> None:
    SyncAttemptFactory(created_at=NOON - timedelta(days=2))

    assert roll_up() == []


def test_a_record_that_was_made_due_again_still_counts_once() -> None:
    record = hand_in()
    stats.fold()
    make_due(record)

    assert stats.read_totals() == recount()
