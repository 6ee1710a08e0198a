"""Backfills: each older record gets its job once, at the pace, whatever stops the walk; statistics agree."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from dataunion import backfill, claims, enrolment, reconcile, roster, stats
from dataunion.clock import db_now
from dataunion.integrity import counters
from dataunion.integrity.findings import Findings
from dataunion.models import Backfill, DataUnion, SyncJob
from dataunion.state import BULK, PartnerState
from dataunion.stats import PartnerTotals
from dataunion.sync import engine
from tests.dataunion.work import at_once, expire, hand_in, make_due, set_partner
from tests.faults.crashes import Point, Write, crashing

pytestmark = pytest.mark.django_db(transaction=True)
LATER = timedelta(minutes=3)


class InWork(Point):
    """A write to what a backfill is about, not to the gates and leases that end by themselves."""

    def means(self, write: Write) -> bool:
        return super().means(write) and write.table not in ("partners", "taskleases")


def older_records(number: int = 3, **fields: str) -> list[DataUnion]:
    """Make records that came in, and were counted, while vana was off; then switch it on."""
    set_partner("vana", state=PartnerState.OFF)
    records = [hand_in(f"old{n}", **fields) for n in range(number)]
    stats.fold()
    set_partner("vana", state=PartnerState.ON)
    return records


def start(per_minute: int = 6000) -> Backfill:
    return backfill.start(roster.get_partner("vana"), per_minute=per_minute, by="ann")[0]


def advance(run: Backfill, after: timedelta = LATER) -> Backfill:
    """Let it be so much later, and the tick take the run further."""
    backfill.advance_all(db_now() + after)
    run.refresh_from_db()
    return run


def vana() -> PartnerTotals:
    return stats.read_totals().partners["vana"]


def jobs() -> list[tuple[str, int, int, str, bool]]:
    """Return vana's jobs: record, fence, priority, trigger, whether somebody has it in hand."""
    rows = SyncJob.objects.filter(partner="vana").order_by("record_id").select_related("record")
    return [(j.record.data_id, j.fence, j.priority, j.trigger, j.lease_until > datetime_of(0)) for j in rows]


def datetime_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, db_now().tzinfo)


def recount() -> Findings:
    found, going = Findings(db_now()), counters.begin()
    while going:
        going = counters.go_on(found, going, 2)
    return found


def test_each_older_record_gets_a_job_and_an_entry() -> None:
    older_records()

    run = advance(start())

    assert jobs() == [(f"old{n}", 1, BULK, "backfill by ann", False) for n in range(3)]
    assert [record.entry("vana").backfill for record in DataUnion.objects.all()] == [str(run.pk)] * 3
    assert (run.state, run.about, run.done, run.enrolled, run.open_for) == ("done", 3, 3, {"health": 3}, None)
    assert vana() == PartnerTotals(enrolled=3, synced=0, failed=0, pending=3)


def test_what_was_enrolled_is_synced_like_any_other() -> None:
    [record] = older_records(1)
    run = advance(start())
    make_due(record, "vana")

    engine.push("vana")

    record.refresh_from_db()
    assert (record.entry("vana").is_synced, record.entry("vana").backfill) == (True, str(run.pk))
    assert vana() == PartnerTotals(enrolled=1, synced=1, failed=0, pending=0)
    assert reconcile.audit(db_now()) == 0


def test_a_recount_finds_the_same() -> None:
    older_records()
    advance(start())
    hand_in("new")
    stats.fold()

    assert recount().repaired == {}
    assert vana().enrolled == 4


def test_records_that_no_fold_has_counted_yet_count_once() -> None:
    older_records(1)
    set_partner("vana", state=PartnerState.OFF)
    hand_in("uncounted")
    set_partner("vana", state=PartnerState.ON)

    advance(start())

    assert vana().enrolled == 2
    stats.fold()
    assert vana().enrolled == 2
    assert recount().repaired == {}


def test_records_that_have_the_partner_or_are_of_another_type_are_passed_over() -> None:
    older_records(1, data_type="checkin")
    hand_in("with vana")
    set_partner("vana", data_types=["health"])

    run = advance(start())

    assert (run.done, run.looked_at, run.state) == (0, 2, "done")
    assert [job[0] for job in jobs()] == ["with vana"]


def test_what_was_taken_back_anywhere_is_given_to_nobody() -> None:
    taken, leaving, staying = older_records()
    entry = {**taken.partners["akave"], "withdrawn_at": "2026-01-02T03:04:05+00:00"}
    DataUnion.objects.filter(pk=taken.pk).update(partners={"akave": entry})
    SyncJob.objects.filter(record=leaving).update(kind="revoke")

    advance(start())

    assert [job[0] for job in jobs()] == [staying.data_id]


def test_the_count_beforehand_costs_no_record() -> None:
    older_records(2)
    older_records(2, data_type="checkin", user_hash="u2")
    hand_in("with vana")

    assert backfill.count_lacking(roster.get_partner("vana")) == 4

    set_partner("vana", data_types=["checkin"])
    assert backfill.count_lacking(roster.get_partner("vana")) == 2


def test_the_pace_is_kept() -> None:
    older_records(5)
    run = start(per_minute=60)

    advance(run, LATER)  # a minute's worth at most is made up for
    assert run.done == 5

    older_records(3, user_hash="u2")
    slow = start(per_minute=1)
    assert [advance(slow, LATER + timedelta(seconds=s)).done for s in (0, 30, 61, 90, 122)] == [1, 1, 2, 2, 3]


def test_the_newest_records_are_waited_for() -> None:
    older_records(1)
    run = start()

    assert (advance(run, timedelta(seconds=90)).done, run.state) == (0, "running")
    assert (advance(run, timedelta(seconds=130)).done, run.state) == (1, "running")
    assert (advance(run, timedelta(seconds=151)).done, run.state) == (1, "done")


def test_a_second_start_joins_the_first() -> None:
    older_records(1)
    run = start()

    again, is_new = backfill.start(roster.get_partner("vana"), per_minute=1, by="bob")

    assert (again.pk, is_new, again.per_minute) == (run.pk, False, 6000)
    advance(run)
    assert start().pk != run.pk


def test_a_paused_one_waits_and_goes_on() -> None:
    older_records(2)
    run = start()

    assert backfill.pause(run) is True
    assert (advance(run).done, run.state) == (0, "paused")

    assert backfill.resume(run, per_minute=3000) is True
    assert (advance(run).done, run.state, run.per_minute) == (2, "done", 3000)
    assert (backfill.pause(run), backfill.resume(run), backfill.cancel(run)) == (False, False, False)


def test_a_cancelled_one_leaves_the_rest_as_it_was() -> None:
    older_records(3)
    run = start(per_minute=1)
    advance(run)

    assert backfill.cancel(run) is True

    assert (advance(run).done, run.state, run.open_for) == (1, "cancelled", None)
    assert vana() == PartnerTotals(enrolled=1, synced=0, failed=0, pending=1)
    assert advance(start()).done == 2
    assert vana().enrolled == 3


def test_it_waits_while_its_partner_is_off() -> None:
    older_records(1)
    run = start()
    set_partner("vana", state=PartnerState.OFF)

    assert (advance(run).done, run.state) == (0, "running")


def test_a_clock_that_ran_ahead_does_not_stop_it_for_long() -> None:
    older_records(1)
    run = start()
    Backfill.objects.update(paced_at=db_now() + timedelta(days=2))

    assert advance(run).done == 1


def test_two_ticks_at_once_enrol_each_record_once() -> None:
    older_records(4)
    run = start()

    at_once(*[lambda: backfill.advance_all(db_now() + LATER)] * 3)

    assert (advance(run).done, len(jobs()), vana().enrolled) == (4, 4, 4)


def test_a_worker_that_was_slow_sends_nothing_twice() -> None:
    """It read its page, and others did all of it meanwhile."""
    records = older_records(1)
    run = start()
    stale = Backfill.objects.get(pk=run.pk)
    advance(run)
    make_due(records[0], "vana")
    engine.push("vana")

    enrolment.enrol(records, stale, db_now())

    assert jobs() == []
    assert vana() == PartnerTotals(enrolled=1, synced=1, failed=0, pending=0)


def test_a_tick_that_read_the_walk_before_another_took_it_further_changes_nothing() -> None:
    older_records()
    run = start()
    stale = Backfill.objects.get(pk=run.pk)
    advance(run)

    backfill.advance(stale, db_now() + LATER)

    run.refresh_from_db()
    assert (run.done, run.looked_at, run.state) == (3, 3, "done")
    assert (len(jobs()), vana().enrolled) == (3, 3)


@pytest.mark.parametrize("moment", ["before", "within"])
def test_one_that_is_killed_at_any_write_ends_with_the_same_counts(moment: str) -> None:
    stopped_at = 0
    while True:
        wipe()
        older_records()
        run = start()
        with crashing(InWork(number=stopped_at + 1, moment=moment)) as trap:
            advance(run)
        if not trap.happened:
            break
        stopped_at += 1
        assert vana().enrolled == enrolled_now()
        claims.rescue(db_now())
        advance(run)
        assert_counts_agree(run)
        assert (run.state, [job[0] for job in jobs()]) == ("done", ["old0", "old1", "old2"])
    assert stopped_at >= 4


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_a_killed_one_left_is_finished_by_the_audit_too(cancelled: bool) -> None:
    stopped_at = 0
    while True:
        wipe()
        older_records()
        run = start()
        with crashing(InWork(number=stopped_at + 1, moment="within")) as trap:
            advance(run)
        if not trap.happened:
            break
        stopped_at += 1
        if cancelled:
            backfill.cancel(run)
        expire(*SyncJob.objects.filter(partner="vana", lease_until__gt=datetime_of(0)))
        reconcile.audit(db_now())
        SyncJob.objects.filter(partner="vana").update(due_at=db_now())
        engine.push("vana")
        assert vana().enrolled == enrolled_now()
        advance(run)
        assert_counts_agree(run)
        assert run.done == 3 or cancelled
    assert stopped_at >= 4


def wipe() -> None:
    for model in (SyncJob, DataUnion, Backfill):
        model._default_manager.all().delete()
    stats.Counters.objects.all().delete()


def enrolled_now() -> int:
    return sum("vana" in record.partners for record in DataUnion.objects.all())


def assert_counts_agree(run: Backfill) -> None:
    run.refresh_from_db()
    assert run.open_for is None
    assert (run.done, vana().enrolled) == (enrolled_now(), enrolled_now())
    assert recount().repaired == {}
    assert [job for job in jobs() if job[4]] == []
