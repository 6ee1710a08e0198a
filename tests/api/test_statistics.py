"""The old service's two endpoints, to the letter, and /api/v1/stats."""

from __future__ import annotations

import json

import pytest
from django.utils.dateparse import parse_datetime

from dataunion.models import RetryRun, SyncJob
from tests.api.conftest import Ask, assert_problem
from tests.factories import AdminFactory, DataUnionFactory, PartnerFactory, StaffFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
STATS, RETRY = "/api/users/admin/sync-stats", "/api/users/admin/retry-failed-syncs"


@pytest.mark.parametrize("path", [STATS, f"{STATS}/"])
def test_sync_stats_have_the_old_shape(ask: Ask, reader, path: str) -> None:
    DataUnionFactory.create_batch(5)
    SyncJobFactory(partner="akave", status="failed")
    SyncJobFactory(partner="akave", status="retrying")
    SyncJobFactory(partner="akave", status="pending")
    SyncJobFactory(partner="vana", status="blocked")

    response = ask(reader, "GET", path)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.content == (
        b'{"total":9,"akave":{"success":6,"failed":2,"successRate":67},'
        b'"vana":{"success":8,"failed":1,"successRate":89}}'
    )


def test_sync_stats_are_zero_when_there_is_nothing(ask: Ask, reader) -> None:
    response = ask(reader, "GET", STATS)

    nothing = {"success": 0, "failed": 0, "successRate": 0}
    assert response.json() == {"total": 0, "akave": nothing, "vana": nothing}


def test_sync_stats_leave_out_a_partner_that_is_off_and_show_one_that_is_paused(ask: Ask, reader) -> None:
    PartnerFactory(name="akave", state="off")
    PartnerFactory(name="vana", state="paused")

    assert list(ask(reader, "GET", STATS).json()) == ["total", "vana"]


@pytest.mark.parametrize("path", [RETRY, f"{RETRY}/"])
def test_retry_has_the_old_shape(ask: Ask, admin, path: str) -> None:
    SyncJobFactory.create_batch(3, status="failed")
    SyncJobFactory.create_batch(2, status="retrying")

    response = ask(admin, "POST", path, {"partner": "vana"})

    assert response.status_code == 200
    assert response.content == (
        b'{"message":"Added 5 failed syncs back to queue for retry","totalFailed":5,"retryCount":5}'
    )


def test_retry_reopens_what_failed_and_counts_blocked_jobs_as_failed_only(ask: Ask, admin) -> None:
    failed, blocked = SyncJobFactory(status="failed"), SyncJobFactory(status="blocked")
    other = SyncJobFactory(status="failed", partner="akave")

    response = ask(admin, "POST", RETRY, {"partner": "vana"})

    assert response.json()["totalFailed"] == 2
    assert response.json()["retryCount"] == 1
    statuses = dict(SyncJob.objects.values_list("pk", "status"))
    assert statuses == {failed.pk: "pending", blocked.pk: "blocked", other.pk: "failed"}
    run = RetryRun.objects.get()
    assert run.filter == {"partner": "vana"}
    assert run.asked_by == f"API key {admin.prefix} (boss)"
    assert SyncJob.objects.get(pk=failed.pk).priority == 1


@pytest.mark.parametrize("data_type", ["health", None])
def test_retry_keeps_to_the_data_type_where_one_is_named(ask: Ask, admin, data_type: str | None) -> None:
    SyncJobFactory()
    SyncJobFactory(record=DataUnionFactory(data_type="checkin"))

    response = ask(admin, "POST", RETRY, {"partner": "vana", "dataType": data_type})

    assert response.json()["retryCount"] == (1 if data_type else 2)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "partner is missing; it should be one of: akave, vana"),
        (None, "partner is missing; it should be one of: akave, vana"),
        ({"partner": ""}, "partner should not be empty"),
        ({"partner": None}, "partner should not be null"),
        ({"partner": 7}, "partner should be a string"),
        ({"partner": "filecoin"}, "Partner filecoin not found; there are: akave, vana"),
        ({"partner": "vana", "dataType": "sleep"}, "Data type 'sleep' is unknown; there are: health, checkin"),
        ({"partner": "vana", "datatype": "health"}, "datatype is not known here; there are: partner, dataType"),
        ([], "This should be a JSON object."),
    ],
)
def test_retry_refuses_what_it_does_not_know(ask: Ask, admin, body: object, sentence: str) -> None:
    SyncJobFactory()

    assert_problem(ask(admin, "POST", RETRY, body), 400, sentence)

    assert SyncJob.objects.filter(status="failed").count() == 1
    assert not RetryRun.objects.exists()


def test_a_staff_session_may_read_and_retry(ask: Ask) -> None:
    staff = StaffFactory()
    SyncJobFactory()

    assert ask(staff, "GET", STATS).status_code == 200
    assert ask(staff, "POST", RETRY, {"partner": "vana"}).json()["retryCount"] == 1
    assert SyncJob.objects.get().trigger == f"retry run by {staff.username}"


def test_stats_tell_pending_from_failed(ask: Ask, reader) -> None:
    DataUnionFactory()
    SyncJobFactory(status="pending")
    SyncJobFactory(status="running")
    SyncJobFactory(status="failed")

    found = json.loads(ask(reader, "GET", "stats").content)

    as_of = parse_datetime(found.pop("as_of"))
    assert as_of is not None
    assert as_of.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert found == {
        "total": 4,
        "partners": {
            "akave": {"enrolled": 4, "synced": 4, "failed": 0, "pending": 0, "successRate": 100},
            "vana": {"enrolled": 4, "synced": 1, "failed": 1, "pending": 2, "successRate": 25},
        },
    }


@pytest.mark.django_db(transaction=True)
def test_retry_answers_and_reopens_while_no_broker_runs(ask: Ask) -> None:
    SyncJobFactory()

    response = ask(AdminFactory(), "POST", RETRY, {"partner": "vana"})

    assert response.json()["retryCount"] == 1
    assert SyncJob.objects.get().status == "pending"
