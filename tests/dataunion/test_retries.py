"""Retries that people ask for: one, a selection, and runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataunion import retries, roster
from dataunion.clock import db_now
from dataunion.models import RetryRun, SyncJob
from tests.dataunion.work import ago, ahead, make_job, set_partner
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


def test_a_selection_is_retried_at_live_priority_even_when_it_joins() -> None:
    failed(record__data_id="x1")
    failed(record__data_id="x2", status="retrying")
    failed(record__data_id="y")

    assert retries.retry_selection(SyncJob.objects.filter(record__data_id__startswith="x"), by="ann") == 2

    assert sorted(states()) == [("akave", "failed", 0, "ingest")] + [("akave", "pending", 0, "ann")] * 2


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
        ({"partner": "akave", "data_type": "", "error_class": None}, 3),
    ],
)
def test_a_filter_means_failures_that_match_all_of_it(wanted: dict[str, Any], expected: int) -> None:
    failed(record__user_hash="u9")
    failed(partner="vana", status="retrying")
    SyncJobFactory(partner="akave", record__data_type="checkin")
    failed(error_class="poison")
    make_job()

    assert retries.count_matching(wanted) == (expected, expected)


def test_a_run_costs_the_same_however_many_there_are() -> None:
    for _ in range(30):
        failed()
    run = RetryRun.objects.create(filter={"partner": "akave"}, asked_by="ann", created_at=db_now())

    with CaptureQueriesContext(connection) as queries:
        retries.advance(run, db_now())

    about_jobs = [query["sql"] for query in queries if "syncjobs" in query["sql"]]
    assert len(about_jobs) == (2 if connection.vendor == "mongodb" else 1)  # a page of keys is read first there
    assert run.done == 30


def test_a_run_over_more_than_a_page_goes_on_behind_the_answer() -> None:
    jobs = [failed() for _ in range(5)]
    page, retries._PAGE = retries._PAGE, 2
    try:
        run = retries.start_run({"partner": "akave"}, by="ann")
        first = run.done
        for _ in range(2):
            assert retries.advance_all(db_now()) <= {"akave"}
    finally:
        retries._PAGE = page

    run.refresh_from_db()
    assert first == (2 if connection.vendor == "mongodb" else 5)
    assert (run.done, run.state) == (5, "done")
    assert SyncJob.objects.filter(status="pending").count() == len(jobs)


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
