"""Claims: taking jobs into hand as limits allow, and holding them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataunion import claims
from dataunion.clock import db_now
from dataunion.models import SyncJob
from dataunion.state import Status
from tests.dataunion.work import ago, ahead, claim, expire, make_job, row, set_partner, steal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _partners() -> None:
    set_partner("akave")


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
    assert stored.changed_at == stored.claimed_at


def test_claim_is_refused_while_a_lease_lives() -> None:
    make_job()
    [job] = claim()
    before = row(job)

    assert claim() == []
    assert row(job) == before


@pytest.mark.parametrize(("field", "value"), [("status", "failed"), ("lease_until", datetime(2020, 1, 1, tzinfo=UTC))])
def test_a_job_that_cannot_be_claimed_any_more_since_it_was_chosen_is_left_alone(field: str, value: Any) -> None:
    job = make_job()
    chosen = claims._choose("akave", 5, db_now())
    SyncJob.objects.update(**{field: value})
    before = row(job)

    assert claims._lease(chosen, "mine", db_now()) == 0
    assert row(job) == before


def test_a_job_that_another_claimed_since_it_was_chosen_is_left_to_it() -> None:
    make_job()
    chosen = claims._choose("akave", 5, db_now())
    [theirs] = claim()
    before = row(theirs)

    assert claims._lease(chosen, "mine", db_now()) == 0
    assert row(theirs) == before


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


def test_claim_takes_so_many_newcomers_and_all_that_began() -> None:
    first = make_job(due_at=ago(99))
    make_job(due_at=ago(98))
    begun = [make_job(step="confirm", due_at=ago(9)), make_job(step="sign", priority=1, due_at=ago(8))]

    chosen = [claims._choose("akave", 50, db_now(), newcomers) for newcomers in (0, 1, None)]

    assert set(chosen[0]) == {job.pk for job in begun}
    assert set(chosen[1]) == {first.pk, *(job.pk for job in begun)}
    assert len(chosen[2]) == 4
    assert claims._choose("akave", 2, db_now(), 1) == chosen[0]


def test_claim_takes_a_job_that_was_in_a_crash_alone() -> None:
    crashed = make_job(crashes=1, due_at=ago(99))
    make_job()

    assert [job.pk for job in claim()] == [crashed.pk]


def test_claim_leaves_a_job_that_was_in_a_crash_until_it_is_first() -> None:
    first = make_job(due_at=ago(99))
    make_job(crashes=1)

    assert [job.pk for job in claim()] == [first.pk]


def test_bulk_work_that_was_in_a_crash_has_its_turn_while_live_work_goes_on() -> None:
    make_job(due_at=ago(99))
    crashed = make_job(priority=1, crashes=1)

    found = set()
    for _ in range(400):  # one claim in ten
        jobs = claim()
        found.add(tuple(job.pk == crashed.pk for job in jobs))
        claims.let_go(jobs, ago(50))
        if len(found) == 2:
            break

    assert found == {(True,), (False,)}


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
    set_partner(gate_token="another", gate_until=ahead(5))

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
    now = ahead(20)

    assert claims.save_step(jobs, "confirm", now) == {job.pk for job in jobs}

    stored = [SyncJob.objects.get(pk=job.pk) for job in jobs]
    assert [claims.open_saved(job) for job in stored] == [{"number": n} for n in range(3)]
    assert {(job.step, job.crashes, job.waiting_since) for job in stored} == {("confirm", 0, None)}
    assert {job.lease_until for job in stored} == {now + timedelta(seconds=45)}


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
