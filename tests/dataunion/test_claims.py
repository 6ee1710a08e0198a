"""Claims: taking jobs into hand, holding them, letting go of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataunion import claims
from dataunion.claims import Ending
from dataunion.clock import db_now
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import Attempt, Outcome, Status
from tests.dataunion.work import ago, ahead, expire, make_job, row, set_partner, settings_of, steal
from tests.factories import SyncJobFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _partners() -> None:
    set_partner("akave")


def claim(limit: int = 50) -> list[SyncJob]:
    return claims.claim("akave", limit=limit)


def attempt(outcome: Outcome = Outcome.SYNCED, **fields: Any) -> Attempt:
    given = {"number": 1, "step": "store", "started_at": "2026-01-02T03:04:05+00:00", "duration_ms": 7}
    return Attempt(**{**given, "outcome": outcome, "trigger": "ingest", **fields})


def done(**fields: Any) -> Ending:
    given = {"attempt": attempt(), "receipt": {"id": "x"}, "refs": [("fake_id", "x")]}
    return Ending(status=Status.DONE, due_at=db_now(), **{**given, **fields})


# --- claim


def test_claim_takes_due_jobs_only() -> None:
    due = make_job()
    make_job(due_at=ahead(60))
    make_job(partner="vana")

    assert [job.pk for job in claim()] == [due.pk]


def test_claim_marks_the_job_as_running_under_a_lease_with_the_fence_raised() -> None:
    make_job(fence=4)
    before = db_now()

    [job] = claim()

    stored = SyncJob.objects.get()
    assert (stored.status, stored.fence, stored.lease_token) == (Status.RUNNING, 5, job.lease_token)
    assert len(job.lease_token) == 32
    assert before <= stored.claimed_at <= db_now()
    assert stored.lease_until == stored.claimed_at + timedelta(seconds=45)


def test_claim_is_refused_while_a_lease_lives() -> None:
    make_job()
    [job] = claim()
    before = row(job)

    assert claim() == []
    assert row(job) == before


@pytest.mark.parametrize("status", ["running", "done", "failed", "blocked"])
def test_claim_leaves_other_states_alone(status: str) -> None:
    make_job(status=status)

    assert claim() == []


def test_claim_takes_what_is_to_be_retried() -> None:
    job = make_job(status="retrying")

    assert [found.pk for found in claim()] == [job.pk]


def test_claim_leaves_a_job_whose_outcome_is_not_published_yet() -> None:
    job = make_job(status="retrying")
    SyncJob.objects.filter(pk=job.pk).update(lease_until=ago(1))

    assert claim() == []


def test_claim_goes_by_priority_and_then_by_due_time() -> None:
    bulk = make_job(priority=1, due_at=ago(90))
    late, early = make_job(due_at=ago(10)), make_job(due_at=ago(50))

    assert [job.pk for job in claim()] == [early.pk, late.pk, bulk.pk]
    assert claim(1) == []


def test_claim_gives_a_fifth_of_its_places_to_bulk_work() -> None:
    for _ in range(12):
        make_job()
        make_job(priority=1)

    assert [job.priority for job in claim(10)] == [0] * 8 + [1] * 2


def test_claim_gives_bulk_work_the_places_that_live_work_leaves() -> None:
    make_job()
    for _ in range(12):
        make_job(priority=1)

    assert [job.priority for job in claim(10)] == [0] + [1] * 9


def test_claim_takes_live_work_where_there_is_one_place() -> None:
    make_job(priority=1)
    live = make_job()

    assert [job.pk for job in claim(1)] == [live.pk]


def test_claim_takes_a_job_that_was_in_a_crash_alone() -> None:
    crashed = make_job(crashes=1, due_at=ago(99))
    make_job()

    assert [job.pk for job in claim()] == [crashed.pk]


def test_claim_leaves_a_job_that_was_in_a_crash_until_it_is_first() -> None:
    first = make_job(due_at=ago(99))
    make_job(crashes=1)

    assert [job.pk for job in claim()] == [first.pk]


# --- limits


def test_claim_keeps_to_the_places_in_flight() -> None:
    set_partner(max_in_flight=3)
    for _ in range(5):
        make_job()

    assert [len(claim(2)), len(claim(2)), len(claim(2))] == [2, 1, 0]


def test_claim_counts_no_place_for_a_lease_that_ran_out() -> None:
    set_partner(max_in_flight=1)
    for _ in range(2):
        make_job()
    expire(*claim())

    assert len(claim()) == 1


def test_claim_keeps_to_the_rate_and_saves_up_one_second_at_most() -> None:
    set_partner(per_second=3.0, rate_at=ago(60))
    for _ in range(10):
        make_job()

    assert len(claim()) == 3
    assert claim() == []

    set_partner(rate_at=ago(0.7))
    assert len(claim()) == 2


def test_claim_lets_a_rate_below_one_a_second_through() -> None:
    set_partner(per_second=0.1, rate_at=ago(10.5))
    make_job()
    make_job()

    assert len(claim()) == 1
    assert claim() == []


def test_claim_takes_nothing_while_the_partner_wants_peace() -> None:
    make_job()
    set_partner(not_before=ahead(60))

    assert claim() == []

    set_partner(not_before=ago(1))
    assert len(claim()) == 1


@pytest.mark.parametrize("state", ["paused", "off"])
def test_claim_takes_nothing_while_the_partner_is_not_on(state: str) -> None:
    make_job()
    set_partner(state=state)

    assert claim() == []


def test_claim_takes_nothing_while_the_breaker_is_open() -> None:
    make_job()
    set_partner(breaker={"open_until": ahead(30).timestamp(), "trips": 1})

    assert claim() == []


def test_claim_sends_one_probe_when_the_breaker_is_half_open() -> None:
    for _ in range(3):
        make_job()
    set_partner(breaker={"open_until": ago(1).timestamp(), "trips": 1})

    assert [len(claim()), len(claim())] == [1, 0]


def test_claim_gives_up_where_another_worker_keeps_the_partners_row() -> None:
    make_job()
    set_partner(gate_token="another", gate_until=ahead(60))

    assert claim() == []


def test_claim_goes_on_where_a_dead_worker_kept_the_partners_row() -> None:
    make_job()
    set_partner(gate_token="dead", gate_until=ago(1))

    assert len(claim()) == 1


# --- holding


def test_renew_prolongs_the_lease_and_names_what_is_still_ours() -> None:
    make_job()
    make_job()
    mine, lost = claim()
    steal(lost)
    now = ahead(20)

    assert claims.renew([mine, lost], now) == {mine.pk}
    assert SyncJob.objects.get(pk=mine.pk).lease_until == now + timedelta(seconds=45)


def test_renew_of_everything_names_everything() -> None:
    make_job()
    make_job()
    jobs = claim()

    assert claims.renew(jobs, db_now()) == {job.pk for job in jobs}


def test_a_saved_step_stores_each_jobs_results_in_one_statement() -> None:
    for _ in range(3):
        make_job(crashes=0)
    jobs = claim()
    for number, job in enumerate(jobs):
        job.saved = claims.seal_saved(job.record_id, job.partner, {"number": number})
    SyncJob.objects.update(crashes=1, waiting_since=ago(5))

    assert claims.save_step(jobs, "confirm", db_now()) == {job.pk for job in jobs}

    stored = [SyncJob.objects.get(pk=job.pk) for job in jobs]
    assert [claims.open_saved(job) for job in stored] == [{"number": n} for n in range(3)]
    assert {(job.step, job.crashes, job.waiting_since) for job in stored} == {("confirm", 0, None)}


def test_a_saved_step_names_what_is_still_ours_and_leaves_the_rest() -> None:
    make_job()
    make_job()
    mine, lost = claim()
    stolen = row(steal(lost))
    for job in (mine, lost):
        job.saved = claims.seal_saved(job.record_id, job.partner, {"late": True})

    assert claims.save_step([mine, lost], "confirm", db_now()) == {mine.pk}
    assert row(lost) == stolen


def test_nothing_saved_is_nothing_to_save() -> None:
    assert claims.save_step([], "confirm", db_now()) == set()


# --- letting go


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


FAILURE = attempt(Outcome.TRANSIENT, error_class="transient", error_message="akave: store: HTTP 503", http_status=503)


@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED, Status.BLOCKED])
def test_a_failure_is_told_in_job_entry_and_history(status: Status) -> None:
    make_job()
    [job] = claim()
    due_at = ahead(60)

    claims.settle([(job, Ending(status=status, due_at=due_at, attempt=FAILURE, spends_attempt=True))], db_now())

    stored = SyncJob.objects.get()
    assert (stored.status, stored.due_at, stored.attempts, stored.runs) == (status, due_at, 1, 1)
    assert (stored.error_class, stored.error_message) == ("transient", "akave: store: HTTP 503")
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
    make_job(step="confirm")
    [job] = claim()
    job.saved = claims.seal_saved(job.record_id, "akave", {"again": True})
    due_at = ahead(5)

    assert claims.rewind(job, "keys", due_at, db_now())

    stored = SyncJob.objects.get()
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


def test_drop_deletes_a_job_that_is_ours() -> None:
    make_job()
    [job] = claim()

    claims.drop(job)

    assert SyncJob.objects.count() == 0


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
def test_a_job_that_is_gone_is_not_made_again(move: str) -> None:
    make_job()
    [job] = claim()
    SyncJob.objects.all().delete()

    assert not MOVES[move](job)

    assert SyncJob.objects.count() == SyncAttempt.objects.count() == 0


# --- rescue


def test_rescue_leaves_a_live_lease_alone() -> None:
    make_job()
    [job] = claim()
    before = row(job)

    assert claims.rescue(db_now()) == []
    assert row(job) == before


def test_rescue_puts_a_dead_workers_job_back_and_tells_of_the_crash() -> None:
    make_job(step="store")
    expire(*claim())
    now = db_now()

    [rescued] = claims.rescue(now)

    stored = SyncJob.objects.get()
    assert (stored.status, stored.crashes, stored.attempts, stored.due_at) == (Status.PENDING, 1, 0, now)
    assert (stored.error_class, stored.lease_until) == ("crashed", NEVER)
    assert stored.error_message == "The worker stopped answering at step store and another one took over."
    assert SyncAttempt.objects.values_list("outcome", "step").get() == ("crashed", "store")
    assert rescued.pk == stored.pk


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
    stale = list(SyncJob.objects.expired(now))
    claims.renew(jobs, now)
    before = row(jobs[0])

    endings = [(stale[0], claims._crash(stale[0], now))]
    assert claims.settle(endings, now, lease_until__lt=now) == []

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
    job = make_job(status=status, attempts=7, crashes=2, due_at=ahead(999), runs=9, fence=3)
    now = db_now()

    assert claims.reopen(SyncJob.objects.all(), trigger="ann", priority=1, now=now) == 1

    stored = SyncJob.objects.get()
    assert (stored.status, stored.attempts, stored.crashes, stored.due_at) == (Status.PENDING, 0, 0, now)
    assert (stored.trigger, stored.priority, stored.runs, stored.fence) == ("ann", 1, 9, 3)
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

    assert SyncJob.objects.values_list("due_at", "waiting_since").get(pk=waiting.pk) == (now, None)
    assert all(SyncJob.objects.get(pk=job.pk).due_at > now for job in (other_partner, other_record))


def test_bring_forward_leaves_a_backoff_alone() -> None:
    job = make_job(status="retrying", due_at=ahead(900))

    assert claims.bring_forward([job.record_id], ["akave"], db_now()) == 0


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
