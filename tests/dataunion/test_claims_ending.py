"""Claims: letting go of jobs, each ending with what it leaves, and nothing by a stale token."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dataunion import claims
from dataunion.clock import db_now
from dataunion.endings import Ending
from dataunion.models import NEVER, DataUnion, HealthData, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import Status, add_spent
from tests.dataunion.work import FAILURE, ago, ahead, claim, done, make_job, row, set_partner, steal
from tests.factories import HealthDataFactory, SyncAttemptFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _partners() -> None:
    set_partner("akave")


def test_complete_publishes_the_entry_and_the_history_and_deletes_the_job() -> None:
    make_job()
    [job] = claim()
    job.saved = claims.seal_saved(job.record_id, "akave", {"secret": "s"})
    now = db_now()

    assert claims.settle([(job, done())], now) == [job]

    record = DataUnion.objects.get()
    entry = record.entry("akave")
    assert (entry.is_synced, entry.error_message, entry.synced_at) == (True, None, now.isoformat())
    assert (entry.fence, entry.attempts, entry.receipt) == (2, 1, {"id": "x"})
    assert record.retry_data("akave") == {"secret": "s"}
    assert record.updated_at == now
    assert SyncJob.objects.count() == 0
    assert SyncAttempt.objects.values("outcome", "number", "fence", "step", "duration_ms", "trigger").get() == {
        "outcome": "synced",
        "number": 1,
        "fence": 2,
        "step": "store",
        "duration_ms": 7,
        "trigger": "ingest",
    }
    assert list(RemoteRef.objects.values_list("partner", "kind", "value")) == [("akave", "fake_id", "x")]


def test_complete_leaves_the_other_partners_entry_as_it_was() -> None:
    make_job()
    before = DataUnion.objects.get().partners["vana"]
    [job] = claim()

    claims.settle([(job, done())], db_now())

    assert DataUnion.objects.get().partners["vana"] == before


@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED, Status.BLOCKED])
def test_a_failure_is_told_in_job_entry_and_history(status: Status) -> None:
    make_job()
    [job] = claim()
    due_at = ahead(60)

    claims.settle([(job, Ending(status=status, due_at=due_at, attempt=FAILURE, spends_attempt=True))], db_now())

    stored = SyncJob.objects.get()
    assert (stored.status, stored.due_at, stored.attempts, stored.runs) == (status, due_at, 1, 1)
    assert (stored.error_class, stored.error_message) == ("transient", "akave: store: HTTP 503")
    assert stored.cause == "akave: store: HTTP 503"
    assert (stored.outcome, stored.lease_token, stored.lease_until) == (None, "", NEVER)
    entry = DataUnion.objects.get().entry("akave")
    assert (entry.is_synced, entry.error_message, entry.synced_at) == (False, "akave: store: HTTP 503", None)
    assert SyncAttempt.objects.get().http_status == 503


def test_a_failure_keeps_the_step_results_with_the_job() -> None:
    make_job(saved=None)
    [job] = claim()
    job.saved = claims.seal_saved(job.record_id, "akave", {"secret": "s"})
    claims.save_step([job], "confirm", db_now())

    claims.settle([(job, Ending(status=Status.FAILED, due_at=db_now(), attempt=FAILURE))], db_now())

    record = DataUnion.objects.get()
    assert record.retry_data("akave") == {"secret": "s"}
    assert record.partners["akave"]["retry_data"] is None


def test_a_wait_spends_nothing_and_leaves_no_trace_in_the_history() -> None:
    make_job(attempts=2, runs=5)
    [job] = claim()
    now, due_at = db_now(), ahead(30)
    entries = DataUnion.objects.get().partners

    claims.settle([(job, Ending(status=Status.PENDING, due_at=due_at, waits=True))], now)

    stored = SyncJob.objects.get()
    assert (stored.status, stored.due_at, stored.attempts, stored.runs) == (Status.PENDING, due_at, 2, 5)
    assert (stored.waiting_since, stored.lease_until, stored.outcome) == (now, NEVER, None)
    assert SyncAttempt.objects.count() == 0
    assert DataUnion.objects.get().partners == entries


def test_a_second_wait_keeps_the_time_since_when_it_waits() -> None:
    make_job(waiting_since=ago(300))
    since = SyncJob.objects.get().waiting_since
    [job] = claim()

    claims.settle([(job, Ending(status=Status.PENDING, due_at=ahead(30), waits=True))], db_now())

    assert SyncJob.objects.get().waiting_since == since


def test_an_attempt_ends_the_waiting() -> None:
    make_job(waiting_since=ago(300))
    [job] = claim()

    claims.settle([(job, Ending(status=Status.RETRYING, due_at=ahead(30), attempt=FAILURE))], db_now())

    assert SyncJob.objects.get().waiting_since is None


def test_rewind_stores_the_results_and_goes_back_to_the_step() -> None:
    make_job(step="confirm", crashes=1, waiting_since=ago(5))
    [job] = claim()
    job.saved = claims.seal_saved(job.record_id, "akave", {"again": True})
    due_at, now = ahead(5), db_now()

    assert claims.rewind(job, "keys", due_at, now)

    stored = SyncJob.objects.get()
    assert (stored.crashes, stored.waiting_since, stored.changed_at) == (0, None, now)
    assert (stored.status, stored.step, stored.due_at) == (Status.PENDING, "keys", due_at)
    assert (stored.lease_token, stored.lease_until) == ("", NEVER)
    assert claims.open_saved(stored) == {"again": True}


def test_let_go_puts_a_job_back_as_if_it_had_not_been_claimed() -> None:
    make_job(attempts=1)
    jobs = claim()
    due_at = ahead(5)

    claims.let_go(jobs, due_at)

    stored = SyncJob.objects.get()
    assert (stored.status, stored.due_at, stored.attempts, stored.crashes) == (Status.PENDING, due_at, 1, 0)
    assert (stored.lease_token, stored.lease_until) == ("", NEVER)


def test_letting_one_job_go_leaves_the_others_of_the_same_claim() -> None:
    make_job()
    make_job()
    one, other = claim()
    before = row(other)

    claims.let_go([one], ahead(5))

    assert row(other) == before


def test_what_is_committed_is_held_until_it_is_told_and_in_no_workers_hands() -> None:
    make_job()
    [job] = claim()
    now = db_now()

    assert claims._commit(job, done(), now, [])

    stored = SyncJob.objects.get()
    assert (stored.lease_token, stored.lease_until) == ("", now + timedelta(seconds=45))


def test_an_ending_without_an_attempt_leaves_no_history() -> None:
    make_job()
    [job] = claim()

    claims.settle([(job, done(attempt=None))], db_now())

    assert (SyncJob.objects.count(), SyncAttempt.objects.count()) == (0, 0)
    assert DataUnion.objects.get().entry("akave").is_synced


def test_drop_deletes_a_job_that_is_ours_and_the_data_that_came_before_its_record() -> None:
    job = make_job()
    HealthDataFactory(record=job.record)
    other = HealthDataFactory()
    DataUnion.objects.filter(pk=job.record_id).delete()
    [mine] = claim()

    claims.drop(mine)

    assert SyncJob.objects.count() == 0
    assert list(HealthData.objects.all()) == [other]


def test_drop_deletes_what_was_noted_of_a_job_whose_record_never_came() -> None:
    job = make_job()
    other = SyncAttemptFactory(partner="akave")
    SyncAttemptFactory(record=job.record, partner="akave", outcome="crashed")
    elsewhere = SyncAttemptFactory(record=job.record, partner="vana")
    DataUnion.objects.filter(pk=job.record_id).delete()
    [mine] = claim()

    claims.drop(mine)

    assert set(SyncAttempt.objects.all()) == {other, elsewhere}


def test_drop_leaves_the_attempts_at_a_record_that_came_after_all() -> None:
    attempt = SyncAttemptFactory(record=make_job().record, partner="akave")
    [mine] = claim()

    claims.drop(mine)

    assert list(SyncAttempt.objects.all()) == [attempt]


def test_drop_leaves_the_data_of_a_record_that_came_after_all() -> None:
    data = HealthDataFactory(record=make_job().record)
    [mine] = claim()

    claims.drop(mine)

    assert list(HealthData.objects.all()) == [data]


def test_drop_of_a_job_that_is_no_longer_ours_leaves_its_data() -> None:
    job = make_job()
    data = HealthDataFactory(record=job.record)
    DataUnion.objects.filter(pk=job.record_id).delete()
    [mine] = claim()
    steal(mine)

    claims.drop(mine)

    assert (SyncJob.objects.count(), list(HealthData.objects.all())) == (1, [data])


MOVES = {
    "renew": lambda job: claims.renew([job], db_now()),
    "save_step": lambda job: claims.save_step([job], "confirm", db_now()),
    "complete": lambda job: claims.settle([(job, done())], db_now()),
    "retry": lambda job: claims.settle(
        [(job, Ending(status=Status.RETRYING, due_at=ahead(9), attempt=FAILURE))], db_now()
    ),
    "snooze": lambda job: claims.settle([(job, Ending(status=Status.PENDING, due_at=ahead(9), waits=True))], db_now()),
    "give_up": lambda job: claims.settle(
        [(job, Ending(status=Status.FAILED, due_at=db_now(), attempt=FAILURE))], db_now()
    ),
    "block": lambda job: claims.settle(
        [(job, Ending(status=Status.BLOCKED, due_at=db_now(), attempt=FAILURE))], db_now()
    ),
    "rewind": lambda job: claims.rewind(job, "keys", db_now(), db_now()),
    "let_go": lambda job: claims.let_go([job], db_now()),
    "drop": lambda job: claims.drop(job),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_stale_token_changes_nothing(move: str) -> None:
    make_job()
    [job] = claim()
    job.saved = claims.seal_saved(job.record_id, "akave", {"zombie": True})
    stolen = row(steal(job))

    assert not MOVES[move](job)

    assert row(job) == stolen
    assert SyncAttempt.objects.count() == RemoteRef.objects.count() == 0


@pytest.mark.parametrize("move", MOVES)
def test_a_job_that_nobody_claimed_is_nobodys_to_move(move: str) -> None:
    job = make_job()
    before = row(job)

    assert not MOVES[move](job)

    assert row(job) == before


@pytest.mark.parametrize("move", MOVES)
def test_a_job_that_is_gone_is_not_made_again(move: str) -> None:
    make_job()
    [job] = claim()
    SyncJob.objects.all().delete()

    assert not MOVES[move](job)

    assert SyncJob.objects.count() == SyncAttempt.objects.count() == 0


def test_an_ending_that_cannot_be_stored_spends_no_attempt_of_the_next() -> None:
    make_job()
    [job] = claim()
    now = db_now()
    ending = Ending(status=Status.RETRYING, due_at=now, attempt=FAILURE, spends_attempt=True)
    with pytest.raises(UnicodeEncodeError):
        claims.settle([(job, replace(ending, attempt=replace(FAILURE, error_message="half a pair \ud800")))], now)

    claims.settle([(job, ending)], now)

    assert SyncJob.objects.values_list("attempts", "runs", "status").get() == (1, 1, Status.RETRYING)


def test_what_is_let_go_keeps_what_its_steps_took() -> None:
    make_job()
    other = make_job()
    [job, _] = claim()
    job.spent = add_spent(None, "store", took_ms=40, since="2026-01-02T03:04:05+00:00")

    claims.let_go([job, other], db_now())

    assert SyncJob.objects.get(pk=job.pk).spent == job.spent
    assert SyncJob.objects.exclude(pk=job.pk).get().spent is None


@pytest.mark.parametrize("lost", [0, 2])
def test_whoever_lost_one_job_of_a_chunk_ends_the_others(lost: int) -> None:
    for _ in range(3):
        make_job()
    jobs = claim()
    SyncJob.objects.filter(pk=jobs[lost].pk).update(lease_token="another", fence=jobs[lost].fence + 1)

    ended = claims.settle([(job, done()) for job in jobs], db_now())

    assert {job.pk for job in ended} == {job.pk for job in jobs} - {jobs[lost].pk}
    stored = {record.pk: record.entry("akave").is_synced for record in DataUnion.objects.all()}
    assert stored == {job.record_id: job.pk != jobs[lost].pk for job in jobs}
    left = SyncJob.objects.get(partner="akave")
    assert (left.pk, left.status, left.lease_token, left.outcome) == (jobs[lost].pk, "running", "another", None)
