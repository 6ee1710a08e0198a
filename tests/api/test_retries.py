"""Retry of one record, retry runs, reports of syncs done elsewhere."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dataunion.models import DataUnion, RetryRun, SyncJob
from tests.api.conftest import Ask, assert_problem
from tests.factories import DataUnionFactory, RetryRunFactory, SyncJobFactory

pytestmark = pytest.mark.django_db


# --- one record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "retrying"])
def test_a_failed_record_is_retried_now(ask: Ask, admin, status: str) -> None:
    job, other = SyncJobFactory(status=status), SyncJobFactory(status="failed")

    response = ask(admin, "POST", f"records/{job.record_id}/partners/vana/retry")

    assert (response.status_code, response.json()) == (200, {"reopened": True, "status": "pending"})
    again = SyncJob.objects.get(pk=job.pk)
    assert (again.status, again.attempts, again.priority) == ("pending", 0, 0)
    assert again.trigger == f"API key {admin.prefix} (boss)"
    assert SyncJob.objects.get(pk=other.pk).status == "failed"


@pytest.mark.parametrize("status", ["pending", "running"])
def test_work_that_is_under_way_stays_as_it_is(ask: Ask, admin, status: str) -> None:
    job = SyncJobFactory(status=status, trigger="ingest")

    response = ask(admin, "POST", f"records/{job.record_id}/partners/vana/retry")

    assert (response.status_code, response.json()) == (200, {"reopened": False, "status": status})
    assert SyncJob.objects.get().trigger == "ingest"


def test_a_blocked_record_is_not_retried(ask: Ask, admin) -> None:
    job = SyncJobFactory(status="blocked", error_message="consent: was withdrawn")

    response = ask(admin, "POST", f"records/{job.record_id}/partners/vana/retry")

    assert_problem(response, 409, "This is blocked, and goes on when that changes: consent: was withdrawn")


def test_a_synced_record_is_not_retried(ask: Ask, admin) -> None:
    response = ask(admin, "POST", f"records/{DataUnionFactory().pk}/partners/vana/retry")

    assert_problem(response, 409, "There is nothing to retry: vana has this record, or it was taken back.")


@pytest.mark.parametrize(("method", "end"), [("POST", "/retry"), ("PUT", "")])
def test_an_unknown_partner_or_record_is_not_found(ask: Ask, admin, method: str, end: str) -> None:
    record, unknown = DataUnionFactory(), uuid.uuid4()

    no_partner = ask(admin, method, f"records/{record.pk}/partners/filecoin{end}", {"is_synced": True})
    no_record = ask(admin, method, f"records/{unknown}/partners/vana{end}", {"is_synced": True})

    assert_problem(no_partner, 404, "Partner filecoin not found; this record has: akave, vana")
    assert_problem(no_record, 404, f"There is no record {unknown}.")


# --- reports ---------------------------------------------------------------------------------------------------------


def test_a_sync_done_elsewhere_ends_the_work(ask: Ask, ingester) -> None:
    job = SyncJobFactory()

    response = ask(
        ingester, "PUT", f"records/{job.record_id}/partners/vana", {"is_synced": True, "error_message": None}
    )

    assert response.status_code == 200
    found = response.json()
    assert (found["is_synced"], found["status"], found["error_message"]) == (True, "synced", None)
    assert found["synced_at"] is not None
    assert not SyncJob.objects.exists()
    assert DataUnion.objects.get().partners["vana"]["is_synced"] is True


def test_a_failure_seen_elsewhere_makes_failed_work(ask: Ask, ingester) -> None:
    record = DataUnionFactory()
    body = {"is_synced": False, "error_message": "the bucket is gone", "retry_data": {"key": "abc"}}

    response = ask(ingester, "PUT", f"records/{record.pk}/partners/akave", body)

    assert response.status_code == 200
    found = response.json()
    assert (found["is_synced"], found["status"], found["error_message"]) == (False, "failed", "the bucket is gone")
    assert "retry_data" not in found
    assert SyncJob.objects.get().partner == "akave"
    assert DataUnion.objects.get().retry_data("akave") == {"key": "abc"}
    assert DataUnion.objects.get().partners["vana"]["is_synced"] is True


def test_retry_data_that_is_not_given_stays(ask: Ask, ingester) -> None:
    record = DataUnionFactory()
    path = f"records/{record.pk}/partners/vana"
    ask(ingester, "PUT", path, {"is_synced": False, "error_message": "x", "retry_data": {"key": "abc"}})

    ask(ingester, "PUT", path, {"is_synced": False, "error_message": "y", "retry_data": None})
    ask(ingester, "PUT", path, {"is_synced": True})

    assert DataUnion.objects.get().retry_data("vana") == {"key": "abc"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "is_synced is missing"),
        ({"is_synced": "true"}, "is_synced should be true or false"),
        ({"is_synced": 1}, "is_synced should be true or false"),
        ({"is_synced": None}, "is_synced should not be null"),
        ({"is_synced": True, "error_message": "no"}, "error_message goes with is_synced false only"),
        ({"is_synced": False, "error_message": 5}, "error_message should be a string"),
        ({"is_synced": False, "error_message": "x" * 2001}, "error_message should have at most 2000 characters"),
        ({"is_synced": False, "retry_data": [1]}, "retry_data should be an object"),
        ({"is_synced": False, "done": 1}, "done is not known here; there are: is_synced, error_message, retry_data"),
    ],
)
def test_a_report_that_makes_no_sense_changes_nothing(ask: Ask, ingester, body: Any, sentence: str) -> None:
    record = DataUnionFactory()

    assert_problem(ask(ingester, "PUT", f"records/{record.pk}/partners/vana", body), 400, sentence)
    assert DataUnion.objects.get().partners == record.partners
    assert not SyncJob.objects.exists()


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_reopens_what_matches_its_filter(ask: Ask, admin) -> None:
    wanted = SyncJobFactory(error_class="transient", user_hash="ann", status="retrying")
    others = [SyncJobFactory(error_class="permanent"), SyncJobFactory(partner="akave", error_class="transient")]
    body = {"partner": "vana", "data_type": "health", "error_class": "transient", "status": "retrying"}

    response = ask(admin, "POST", "retry-runs", body)

    run = RetryRun.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/retry-runs/{run.pk}"
    found = dict(response.json())
    assert found.pop("created_at") is not None
    assert found.pop("finished_at") is not None
    assert found == {
        "id": str(run.pk),
        "filter": body,
        "asked_by": f"API key {admin.prefix} (boss)",
        "state": "done",
        "total": 1,
        "wanted": 1,
        "done": 1,
    }
    assert SyncJob.objects.get(pk=wanted.pk).status == "pending"
    assert set(SyncJob.objects.filter(pk__in=[j.pk for j in others]).values_list("status", flat=True)) == {"failed"}
    assert ask(admin, "GET", f"retry-runs/{run.pk}").json() == response.json()


def test_a_dry_run_only_counts(ask: Ask, admin) -> None:
    SyncJobFactory()
    SyncJobFactory(status="blocked")

    response = ask(admin, "POST", "retry-runs", {"partner": "vana", "dry_run": True})

    assert (response.status_code, response.json()) == (200, {"dry_run": True, "total": 2, "wanted": 1})
    assert not RetryRun.objects.exists()
    assert sorted(SyncJob.objects.values_list("status", flat=True)) == ["blocked", "failed"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "partner is missing"),
        ({"partner": "filecoin"}, "Partner filecoin not found; there are: akave, vana"),
        ({"partner": "vana", "data_type": "sleep"}, "Data type 'sleep' is unknown; there are: health, checkin"),
        ({"partner": "vana", "status": "blocked"}, "status should be one of: failed, retrying"),
        ({"partner": "vana", "dry_run": "yes"}, "dry_run should be true or false"),
        (
            {"partner": "vana", "dataType": "health"},
            "dataType is not known here; there are: partner, data_type, error_class, user_hash, status, dry_run",
        ),
    ],
)
def test_a_run_that_makes_no_sense_is_not_started(ask: Ask, admin, body: Any, sentence: str) -> None:
    SyncJobFactory()

    assert_problem(ask(admin, "POST", "retry-runs", body), 400, sentence)
    assert not RetryRun.objects.exists()
    assert SyncJob.objects.get().status == "failed"


def test_runs_are_listed_newest_first(ask: Ask, reader) -> None:
    older, newer = RetryRunFactory(), RetryRunFactory()

    first = ask(reader, "GET", "retry-runs?limit=1").json()
    second = ask(reader, "GET", f"retry-runs?limit=1&cursor={first['next_cursor']}").json()

    assert [row["id"] for row in first["results"] + second["results"]] == [str(newer.pk), str(older.pk)]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_run_that_has_not_ended_can_be_cancelled(ask: Ask, admin, state: str) -> None:
    run = RetryRunFactory(state=state)

    response = ask(admin, "POST", f"retry-runs/{run.pk}/cancel")

    assert response.status_code == 200
    found = response.json()
    assert (found["state"], found["done"]) == ("cancelled", 1)
    assert found["finished_at"] is not None
    assert RetryRun.objects.get().state == "cancelled"


@pytest.mark.parametrize("state", ["done", "cancelled"])
def test_a_run_that_has_ended_cannot_be_cancelled(ask: Ask, admin, state: str) -> None:
    run = RetryRunFactory(state=state)

    response = ask(admin, "POST", f"retry-runs/{run.pk}/cancel")

    assert_problem(response, 409, f"This retry run has ended already: it is {state}.")
    assert RetryRun.objects.get().finished_at is None


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("POST", "/cancel")])
def test_an_unknown_run_is_not_found(ask: Ask, admin, method: str, end: str) -> None:
    unknown = uuid.uuid4()

    assert_problem(ask(admin, method, f"retry-runs/{unknown}{end}"), 404, f"There is no retry run {unknown}.")
