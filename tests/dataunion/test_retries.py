"""Retries that people ask for: one, a selection, and runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataunion import retries, roster
from dataunion.clock import db_now
from dataunion.models import RetryRun, SyncJob
from tests.dataunion.work import ago, ahead, at_once, make_job, set_partner
from tests.factories import SyncJobFactory

pytestmark = pytest.mark.django_db(transaction=True)


def failed(**fields: Any) -> SyncJob:
    return make_job(**{"status": "failed", "changed_at": ago(60), **fields})


def states() -> list[tuple[str, str, int, str]]:
    return list(SyncJob.objects.order_by("pk").values_list("partner", "status", "priority", "trigger"))


def test_one_job_is_retried_at_live_priority() -> None:
    job = failed(priority=1)

    assert retries.retry_job(job, by="ann") is True

    assert states() == [("akave", "pending", 0, "ann")]


def test_a_blocked_job_is_not_retried() -> None:
    assert retries.retry_job(failed(status="blocked"), by="ann") is False


def test_a_run_over_a_selection_is_done_at_live_priority() -> None:
    chosen = [failed(), failed(status="retrying")]
    failed()

    run = retries.start_run(retries.select(job.pk for job in chosen), by="ann")

    assert (run.total, run.done) == (2, 2)
    assert sorted(states()) == [("akave", "failed", 0, "ingest")] + [("akave", "pending", 0, "retry run by ann")] * 2


def test_a_run_over_nothing_selected_reopens_nothing() -> None:
    failed()

    run = retries.start_run(retries.select([]), by="ann")

    assert (run.total, run.done, run.state, SyncJob.objects.get().status) == (0, 0, "done", "failed")


def test_a_run_reopens_what_matches_at_bulk_priority() -> None:
    failed()
    failed(status="retrying")
    failed(status="blocked")
    failed(partner="vana")
    make_job()

    run = retries.start_run({"partner": "akave"}, by="ann")

    assert (run.total, run.wanted, run.done, run.state, run.asked_by) == (3, 2, 2, "done", "ann")
    assert run.finished_at is not None
    assert sorted(states()) == [
        ("akave", "blocked", 0, "ingest"),
        ("akave", "pending", 0, "ingest"),
        ("akave", "pending", 1, "retry run by ann"),
        ("akave", "pending", 1, "retry run by ann"),
        ("vana", "failed", 0, "ingest"),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, 4),
        ({"partner": "akave"}, 3),
        ({"partner": "akave", "data_type": "checkin"}, 1),
        ({"error_class": "poison"}, 1),
        ({"user_hash": "u9"}, 1),
        ({"status": "retrying"}, 1),
        ({"error_classes": "poison,internal"}, 1),
        ({"cause": "akave refuses"}, 1),
        ({"partner": "akave", "data_type": "", "error_class": None}, 3),
    ],
)
def test_a_filter_means_failures_that_match_all_of_it(wanted: dict[str, Any], expected: int) -> None:
    failed(record__user_hash="u9")
    failed(partner="vana", status="retrying")
    SyncJobFactory(partner="akave", record__data_type="checkin")
    failed(error_class="poison", cause="akave refuses")
    make_job()

    assert retries.count_matching(wanted) == (expected, expected)


def test_a_page_costs_the_same_however_many_there_are() -> None:
    for _ in range(30):
        failed()
    run = RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann", created_at=db_now())

    with CaptureQueriesContext(connection) as queries:
        retries.advance(run, db_now())

    # The keys of the page, the page; and, since nothing more was found, a count of what bears the run's name.
    assert len([query["sql"] for query in queries if "syncjobs" in query["sql"]]) == 3
    assert run.done == 30


@pytest.fixture
def small_pages() -> Iterator[None]:
    """Let a page be two jobs."""
    page, retries._PAGE = retries._PAGE, 2
    yield
    retries._PAGE = page


def test_a_run_over_more_than_a_page_goes_on_behind_the_answer(small_pages: None) -> None:
    jobs = [failed() for _ in range(5)]

    run = retries.start_run({"partner": "akave"}, by="ann")

    assert (run.done, run.state) == (2, "running")
    assert retries.advance_all(db_now()) == {"akave"}
    run.refresh_from_db()
    assert (run.done, run.state) == (5, "done")
    assert SyncJob.objects.filter(status="pending", run=run.pk).count() == len(jobs)


def test_a_paused_run_touches_nothing_until_it_is_resumed(small_pages: None) -> None:
    [failed() for _ in range(5)]
    run = retries.start_run({"partner": "akave"}, by="ann")

    assert (retries.pause_run(run), retries.pause_run(run)) == (True, False)
    retries.advance_all(db_now())
    retries.advance(run, db_now())
    assert (run.state, run.done, SyncJob.objects.filter(status="failed").count()) == ("paused", 2, 3)
    assert (retries.resume_run(run), run.done, retries.resume_run(run)) == (True, 4, False)
    retries.advance_all(db_now())

    run.refresh_from_db()
    assert (run.state, run.done) == ("done", 5)


def test_a_cancelled_run_leaves_what_it_had_not_touched(small_pages: None) -> None:
    [failed() for _ in range(5)]
    run = retries.start_run({"partner": "akave"}, by="ann")

    retries.cancel_run(run)
    retries.advance_all(db_now())

    progress = retries.read_progress([run])[run.pk]
    assert (run.state, progress.under_way, progress.untouched) == ("cancelled", 2, 3)
    assert sorted(states())[:3] == [("akave", "failed", 0, "ingest")] * 3


def test_a_run_that_cannot_go_on_does_not_hold_up_the_others(small_pages: None) -> None:
    broken = RetryRun.objects.create(filter={"record_id": "no key"}, asked_by="ann", created_at=ago(9))
    run = RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann")
    [failed() for _ in range(3)]

    with pytest.raises(ValidationError):
        retries.advance_all(db_now())

    broken.refresh_from_db()
    run.refresh_from_db()
    assert [(row.state, row.done) for row in (broken, run)] == [("running", 0), ("done", 3)]


# --- the same work twice


WORK = {"partner": "akave"}


@pytest.mark.parametrize("state", ["running", "paused"])
def test_the_same_work_is_joined_while_it_is_under_way(small_pages: None, state: str) -> None:
    [failed() for _ in range(5)]
    first = retries.start_run(WORK, by="ann")
    RetryRun.objects.update(state=state)

    second = retries.start_run({**WORK, "data_type": ""}, by="bob")

    assert (second.pk, second.is_joined, first.is_joined) == (first.pk, True, False)
    assert (second.asked_by, second.done) == ("ann", 2)


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_the_same_work_is_begun_anew_after_its_end(small_pages: None, end: str) -> None:
    [failed() for _ in range(5)]
    first = retries.start_run(WORK, by="ann")
    retries.cancel_run(first) if end == "cancelled" else retries.advance_all(db_now())

    second = retries.start_run(WORK, by="bob")

    assert (second.pk != first.pk, second.is_joined) == (True, False)


def test_the_same_work_is_begun_anew_where_an_older_version_ended_it(small_pages: None) -> None:
    [failed() for _ in range(5)]
    first = retries.start_run(WORK, by="ann")
    RetryRun.objects.update(state="done")  # it knows nothing of `work`

    second = retries.start_run(WORK, by="bob")

    assert (second.pk != first.pk, second.is_joined, second.done) == (True, False, 2)


def test_a_filter_by_age_is_the_same_work_though_its_moment_moves_on() -> None:
    now = db_now()
    day = [{"created_at__lte": (now - timedelta(days=1, seconds=s)).isoformat()} for s in (0, 9, 100)]

    names = [retries.name_work(wanted, now - timedelta(seconds=s)) for wanted, s in zip(day, (0, 9, 0), strict=True)]

    assert (names[0] == names[1], names[0] == names[2]) == (True, False)


def test_two_who_ask_at_once_get_one_run(small_pages: None) -> None:
    [failed() for _ in range(9)]

    runs = at_once(*[lambda by=by: retries.start_run(WORK, by=by) for by in ("ann", "bob", "carol", "dave")])

    assert {run.pk for run in runs} == {RetryRun.objects.get().pk}
    assert sorted(run.is_joined for run in runs) == [False, True, True, True]


# --- how it goes


def test_the_progress_of_a_run_tells_where_each_job_is() -> None:
    jobs = [failed() for _ in range(7)]
    run = retries.start_run(WORK, by="ann")
    for job, status in zip(jobs, ("running", "retrying", "failed", "blocked"), strict=False):
        SyncJob.objects.filter(pk=job.pk).update(status=status)
    SyncJob.objects.filter(pk=jobs[4].pk).delete()  # synced
    SyncJob.objects.filter(pk=jobs[5].pk).update(status="failed")
    retries.retry_job(SyncJob.objects.get(pk=jobs[5].pk), by="bob")

    progress = retries.read_progress([run, RetryRun.objects.create()])[run.pk]

    run.refresh_from_db()
    assert retries.read_progress([run])[run.pk] == retries.Progress(
        wanted=7, untouched=0, under_way=2, retrying=1, failed=1, blocked=1, passed_on=1, done=1
    )
    assert progress.settled == 4


def test_what_a_later_run_takes_over_is_not_called_done() -> None:
    [failed() for _ in range(3)]
    first = retries.start_run(WORK, by="ann")
    SyncJob.objects.update(status="failed", changed_at=ago(1))

    retries.start_run(WORK, by="bob")

    first.refresh_from_db()
    progress = retries.read_progress([first])[first.pk]
    assert (progress.done, progress.passed_on) == (0, 3)


def test_a_page_that_was_never_counted_is_counted_at_the_end() -> None:
    run = RetryRun.objects.create(filter=WORK, asked_by="ann", wanted=3)
    [failed(status="pending", run=run.pk) for _ in range(2)]  # as MongoDB leaves it when the worker dies
    failed()

    retries.advance_all(db_now())

    run.refresh_from_db()
    assert (run.state, run.done) == ("done", 3)


def test_a_run_leaves_what_failed_after_it_was_asked_for() -> None:
    run = RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann", created_at=ago(30))
    failed(changed_at=ago(60))
    late = failed(changed_at=ago(10))

    retries.advance(run, db_now())

    assert run.done == 1
    assert SyncJob.objects.get(status="failed") == late


def test_a_run_goes_on_after_a_restart() -> None:
    run = RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann", created_at=ahead(0))
    failed()

    assert retries.advance_all(db_now()) == {"akave"}

    run.refresh_from_db()
    assert (run.done, run.state) == (1, "done")


@pytest.mark.parametrize("state", ["paused", "cancelled", "done"])
def test_a_run_that_is_not_running_is_left_alone(state: str) -> None:
    RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann", state=state)
    failed()

    assert retries.advance_all(db_now()) == set()
    assert SyncJob.objects.get().status == "failed"


@pytest.mark.parametrize(("state", "cancelled"), [("running", True), ("paused", True), ("done", False)])
def test_a_run_can_be_cancelled_until_it_is_done(state: str, cancelled: bool) -> None:
    run = RetryRun.objects.create(filter={}, asked_by="ann", state=state)

    assert retries.cancel_run(run) is cancelled
    assert run.state == ("cancelled" if cancelled else state)


def test_an_unknown_partner_is_refused_and_the_valid_ones_named() -> None:
    with pytest.raises(roster.UnknownPartnerError, match=r"^Partner nobody not found; there are: akave, vana$"):
        retries.check_filter(partner="nobody")


def test_an_unknown_type_is_refused_and_the_valid_ones_named() -> None:
    set_partner("akave")

    with pytest.raises(retries.UnknownDataTypeError, match=r"^Data type 'x' is unknown; there are: health, checkin$"):
        retries.check_filter(partner="akave", data_type="x")


def test_a_right_filter_passes() -> None:
    retries.check_filter(partner="akave", data_type="health")
    retries.check_filter(partner="akave")
