"""Claims: taking back what dead workers held, and moves from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataunion import claims, vault
from dataunion.clock import db_now
from dataunion.endings import Ending
from dataunion.models import NEVER, DataUnion, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status, add_spent
from tests.dataunion.work import FAILURE, ago, ahead, claim, done, expire, make_job, row, set_partner, settings_of
from tests.factories import SyncJobFactory

pytestmark = pytest.mark.django_db(transaction=True)
RUN = UUID("018f3c1e-9d2a-7c00-8000-0123456789ab")


@pytest.fixture(autouse=True)
def _partners() -> None:
    set_partner("akave")


# --- rescue


def test_rescue_leaves_a_live_lease_alone() -> None:
    make_job()
    [job] = claim()
    before = row(job)

    assert claims.rescue(db_now()) == []
    assert row(job) == before


def test_rescue_puts_a_dead_workers_job_back_and_tells_of_the_crash() -> None:
    make_job(step="store", runs=4)
    expire(*claim())
    now = db_now()
    SyncJob.objects.update(claimed_at=now - timedelta(seconds=50))

    [rescued] = claims.rescue(now)

    stored = SyncJob.objects.get()
    assert (stored.status, stored.crashes, stored.attempts, stored.due_at) == (Status.PENDING, 1, 0, now)
    assert (stored.error_class, stored.lease_until) == ("crashed", NEVER)
    assert stored.error_message == "The worker stopped answering at step store and another one took over."
    told = SyncAttempt.objects.get()
    assert (told.outcome, told.step, told.number, told.duration_ms) == ("crashed", "store", 5, 50_000)
    assert told.started_at == now - timedelta(seconds=50)
    assert rescued.pk == stored.pk


@pytest.mark.parametrize("seconds", [None, 5.0], ids=["unknown", "by a clock that ran ahead"])
def test_a_crash_of_unknown_length_took_no_time(seconds: float | None) -> None:
    make_job()
    expire(*claim())
    SyncJob.objects.update(claimed_at=None if seconds is None else ahead(seconds))

    claims.rescue(db_now())

    assert SyncAttempt.objects.get().duration_ms == 0


def test_rescue_declares_the_second_crash_at_one_step_poison() -> None:
    make_job()
    expire(*claim())
    claims.rescue(db_now())
    expire(*claim())

    claims.rescue(db_now())

    stored = SyncJob.objects.get()
    assert (stored.status, stored.crashes, stored.error_class) == (Status.FAILED, 2, "poison")
    assert stored.error_message == (
        "Two workers died before its first step of this record. Look at the record's data and the workers' memory."
    )
    assert DataUnion.objects.get().entry("akave").error_message == stored.error_message


def test_rescue_counts_anew_after_a_saved_step() -> None:
    make_job()
    expire(*claim())
    claims.rescue(db_now())
    jobs = claim()
    jobs[0].saved = claims.seal_saved(jobs[0].record_id, "akave", {})
    claims.save_step(jobs, "confirm", db_now())
    expire(*jobs)

    claims.rescue(db_now())

    assert SyncJob.objects.values_list("status", "crashes").get() == (Status.PENDING, 1)


def test_rescue_takes_a_bounded_number_oldest_first() -> None:
    for _ in range(3):
        make_job()
    jobs = claim()
    expire(*jobs)
    SyncJob.objects.filter(pk=jobs[1].pk).update(lease_until=ago(500))

    assert [job.pk for job in claims.rescue(db_now(), limit=1)] == [jobs[1].pk]


def test_rescue_leaves_a_job_that_was_renewed_since_it_was_read() -> None:
    make_job()
    jobs = claim()
    expire(*jobs)
    now = db_now()
    stale = SyncJob.objects.expired(now, limit=9)
    claims.renew(jobs, now)
    before = row(jobs[0])

    assert claims.take_back(stale, now) == []

    assert row(jobs[0]) == before


def test_rescue_never_claims_what_is_done_but_finishes_it() -> None:
    make_job()
    [job] = claim()
    assert claims._commit(job, done(), db_now(), {})
    expire(job)
    assert claim() == []

    assert claims.rescue(db_now()) == []

    assert SyncJob.objects.count() == 0
    assert DataUnion.objects.get().entry("akave").is_synced
    assert SyncAttempt.objects.get().outcome == "synced"


def test_rescue_publishes_a_failure_that_nobody_published() -> None:
    make_job()
    [job] = claim()
    assert claims._commit(job, Ending(status=Status.RETRYING, due_at=ago(1), attempt=FAILURE), db_now(), {})
    expire(job)

    claims.rescue(db_now())

    assert DataUnion.objects.get().entry("akave").error_message == "akave: store: HTTP 503"
    assert SyncJob.objects.values_list("status", "crashes", "outcome").get() == (Status.RETRYING, 0, None)
    assert len(claim()) == 1


# --- from outside


@pytest.mark.parametrize("status", ["failed", "retrying"])
def test_reopen_makes_a_failure_due_now_with_a_new_budget(status: str) -> None:
    job = make_job(status=status, attempts=7, crashes=2, due_at=ahead(999), runs=9, fence=3, waiting_since=ago(5))
    now = db_now()

    assert claims.reopen(SyncJob.objects.all(), trigger="ann" + "x" * 100, priority=1, now=now, run=RUN) == 1

    stored = SyncJob.objects.get()
    assert (stored.status, stored.attempts, stored.crashes, stored.due_at) == (Status.PENDING, 0, 0, now)
    assert (stored.trigger, stored.priority, stored.runs, stored.fence) == ("ann" + "x" * 97, 1, 9, 3)
    assert (stored.waiting_since, stored.changed_at, stored.run) == (None, now, RUN)
    assert DataUnion.objects.get(pk=job.record_id).entry("akave").error_message == "akave: store: refused the object"


@pytest.mark.parametrize("status", ["pending", "running", "done", "blocked"])
def test_reopen_leaves_what_did_not_fail(status: str) -> None:
    job = make_job(status=status)
    before = row(job)

    assert claims.reopen(SyncJob.objects.all(), trigger="ann", priority=0, now=db_now()) == 0
    assert row(job) == before


def test_bring_forward_wakes_waiting_jobs_of_these_records_and_partners() -> None:
    waiting = make_job(due_at=ahead(900), waiting_since=ago(5))
    other_partner = make_job(record=waiting.record, partner="vana", due_at=ahead(900))
    other_record = make_job(due_at=ahead(900))
    now = db_now()

    assert claims.bring_forward([waiting.record_id], ["akave"], now) == 1

    found = SyncJob.objects.values_list("due_at", "waiting_since", "changed_at").get(pk=waiting.pk)
    assert found == (now, None, now)
    assert all(SyncJob.objects.get(pk=job.pk).due_at > now for job in (other_partner, other_record))


def test_bring_forward_leaves_a_backoff_alone() -> None:
    job = make_job(status="retrying", due_at=ahead(900))

    assert claims.bring_forward([job.record_id], ["akave"], db_now()) == 0


def test_bring_forward_leaves_what_is_due_in_its_turn() -> None:
    job = make_job(due_at=ago(60))
    before = row(job)

    assert claims.bring_forward([job.record_id], ["akave"], db_now()) == 0
    assert row(job) == before


def test_bring_forward_of_nothing_asks_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert claims.bring_forward([], ["akave"], NEVER) == 0
        assert claims.bring_forward([UUID(int=1)], [], NEVER) == 0


def test_failing_records_come_newest_change_first() -> None:
    jobs = [make_job(status=s, changed_at=ago(age)) for s, age in (("failed", 30), ("retrying", 10), ("blocked", 20))]
    make_job(status="pending")
    make_job(status="running")
    make_job(status="failed", partner="vana")

    ids = claims.find_failing_record_ids(partner="akave")

    assert ids == [jobs[1].record_id, jobs[2].record_id, jobs[0].record_id]


def test_failing_records_can_be_narrowed_to_a_type() -> None:
    make_job(status="failed")
    checkin = SyncJobFactory(partner="akave", record__data_type="checkin")

    assert claims.find_failing_record_ids(partner="akave", data_type="checkin") == [checkin.record_id]
    assert DataUnion.find_failed_syncs("akave", "checkin") == [checkin.record]


def test_the_lease_lasts_as_long_as_the_settings_say() -> None:
    make_job()

    with settings_of(sync_lease_s=8.0):
        [job] = claim()

    assert job.lease_until == job.claimed_at + timedelta(seconds=8)


def test_bring_forward_opens_what_was_blocked_by_what_came() -> None:
    job = make_job(status="blocked", due_at=ahead(900))
    now = db_now()

    assert claims.bring_forward([job.record_id], ["akave"], now) == 1

    assert SyncJob.objects.values_list("status", "due_at", "changed_at").get() == (Status.PENDING, now, now)


def test_what_was_blocked_some_time_ago_is_asked_again() -> None:
    due = make_job(status="blocked", due_at=ago(1))
    later = make_job(status="blocked", due_at=ahead(60))
    other = make_job(status="blocked", due_at=ago(1), partner="vana")
    unpublished = make_job(status="blocked", due_at=ago(1), lease_until=ago(1))
    failures = [make_job(status=status, due_at=ago(1)) for status in ("failed", "retrying")]

    assert claims.unblock("akave", db_now()) == 1

    states = {job.pk: SyncJob.objects.get(pk=job.pk).status for job in (due, later, other, unpublished)}
    assert list(states.values()) == [Status.PENDING, Status.BLOCKED, Status.BLOCKED, Status.BLOCKED]
    assert [SyncJob.objects.get(pk=job.pk).status for job in failures] == ["failed", "retrying"]


def test_step_results_are_those_of_this_record_and_partner() -> None:
    other = make_job()
    job = make_job(partner="vana", record=other.record)
    for stored, name in ((other, "akave"), (job, "vana"), (make_job(partner="vana"), "vana of another")):
        sealed = claims.seal_saved(stored.record_id, stored.partner, {"of": name})
        SyncJob.objects.filter(pk=stored.pk).update(saved=sealed)

    assert claims.read_retry_data(record=job.record, partner="vana") == {"of": "vana"}


def test_a_synced_entry_that_keeps_no_step_results_has_none() -> None:
    record = make_job().record
    SyncJob.objects.all().delete()

    assert claims.read_retry_data(record=record, partner="akave") == {}


def test_records_that_failed_at_the_same_moment_come_newest_first() -> None:
    moment = ago(10)
    jobs = [make_job(status="failed", changed_at=moment) for _ in range(3)]

    assert claims.find_failing_record_ids(partner="akave") == [job.record_id for job in jobs[::-1]]


# --- making and giving back


def test_a_missing_job_is_made_in_hand_and_goes_on_where_the_entry_stands() -> None:
    record = make_job().record
    SyncJob.objects.all().delete()
    sealed = claims.seal_saved(record.pk, "akave", {"secret": "s"})
    changes = {"fence": 4, "attempts": 3, "retry_data": vault.to_text(sealed)}
    DataUnion.objects.update(partners=MergeEntry("akave", changes))
    read, now = DataUnion.objects.get(), db_now()

    made = claims.make_job(read, "akave", read.entry("akave"), trigger="audit", now=now)
    again = claims.make_job(read, "akave", read.entry("akave"), trigger="audit", now=now)

    stored = SyncJob.objects.get()
    assert made is not None
    assert (made.pk, again) == (stored.pk, None)
    assert (stored.user_hash, stored.data_type, stored.trigger) == (record.user_hash, record.data_type, "audit")
    assert (stored.status, stored.runs, stored.fence) == (Status.PENDING, 3, 5)
    assert (stored.due_at, stored.created_at, stored.changed_at) == (now, now, now)
    assert stored.lease_until == now + timedelta(seconds=45)
    assert claims.open_saved(stored) == {"secret": "s"}
    assert DataUnion.objects.get().entry("akave").fence == 5


def test_no_job_is_made_for_an_entry_that_is_no_longer_as_it_was_read() -> None:
    record = make_job().record
    SyncJob.objects.all().delete()
    read = DataUnion.objects.get()
    DataUnion.objects.update(partners=MergeEntry("akave", {"fence": 9, "is_synced": True}))

    assert claims.make_job(read, "akave", read.entry("akave"), trigger="audit", now=db_now()) is None

    assert SyncJob.objects.count() == 0
    assert DataUnion.objects.get(pk=record.pk).entry("akave").fence == 9


def test_what_one_claim_took_is_given_back_and_no_other_claims() -> None:
    make_job()
    [mine] = claim()
    make_job()
    [other] = claim()
    kept = row(other)

    claims._release("akave", mine.lease_token)

    stored = SyncJob.objects.get(pk=mine.pk)
    assert (stored.status, stored.lease_token, stored.lease_until) == (Status.PENDING, "", NEVER)
    assert row(other) == kept


def test_a_crash_tells_what_the_runs_before_it_spent() -> None:
    spent = add_spent(None, "store", took_ms=40, since="2026-01-02T03:04:05+00:00")
    make_job(spent=spent)
    claim()
    SyncJob.objects.update(lease_until=ago(1))

    claims.rescue(db_now())

    assert SyncAttempt.objects.get().spent == spent
    assert SyncJob.objects.get().spent is None
