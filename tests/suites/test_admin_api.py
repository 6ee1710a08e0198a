"""The old service's admin API suite: its two endpoints to the letter, who may ask, what is refused and what is done."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from dataunion.models import DataUnion, RetryRun, SyncJob
from dataunion.sync import engine
from tests.factories import (
    ApiKeyFactory,
    DataUnionFactory,
    HealthDataFactory,
    PartnerFactory,
    StaffFactory,
    SyncJobFactory,
    UserFactory,
    hours_ago,
)

pytestmark = pytest.mark.django_db
STATS, RETRY = "/api/users/admin/sync-stats", "/api/users/admin/retry-failed-syncs"
Ask = Callable[..., HttpResponse]


@pytest.fixture(autouse=True)
def _quiet(settings: Any, tmp_path: Any) -> None:
    cache.clear()  # requests are counted there, of every key
    settings.STATIC_ROOT = tmp_path  # whitenoise warns of a folder that is missing


@pytest.fixture
def reader(db: None) -> Any:
    return ApiKeyFactory(scopes=["read"])


@pytest.fixture
def admin(db: None) -> Any:
    return ApiKeyFactory(scopes=["admin"])


def bearer(key: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.key}"}


def get_stats(key: Any, path: str = STATS) -> HttpResponse:
    return Client().get(path, headers=bearer(key))


def post_retry(key: Any, body: Any, path: str = RETRY) -> HttpResponse:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return Client().post(path, data, content_type="application/json", headers=bearer(key))


def error_of(response: HttpResponse) -> str:
    assert response["Content-Type"] == "application/problem+json"
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code
    sentence: str = problem["error"]
    return sentence


# --- GET sync-stats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [STATS, f"{STATS}/"])
def test_stats_answer_exactly_these_keys(reader: Any, path: str) -> None:
    DataUnionFactory.create_batch(3)
    SyncJobFactory(partner="vana", status="failed")

    response = get_stats(reader, path)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.content == (
        b'{"total":4,"akave":{"success":4,"failed":0,"successRate":100},'
        b'"vana":{"success":3,"failed":1,"successRate":75}}'
    )


def test_stats_of_nothing_are_zero(reader: Any) -> None:
    nothing = {"success": 0, "failed": 0, "successRate": 0}

    assert get_stats(reader).json() == {"total": 0, "akave": nothing, "vana": nothing}


@pytest.mark.parametrize(
    ("synced", "failed", "rate"), [(1, 7, 13), (3, 5, 38), (1, 199, 1), (1, 200, 0), (199, 1, 100), (2, 1, 67)]
)
def test_the_success_rate_is_rounded_half_up(reader: Any, synced: int, failed: int, rate: int) -> None:
    total = synced + failed
    DataUnion.objects.bulk_create(DataUnionFactory.build_batch(total))
    SyncJob.objects.bulk_create(
        SyncJobFactory.build(record=record, status="failed", _entry=None)
        for record in DataUnion.objects.order_by("pk")[:failed]
    )

    assert get_stats(reader).json()["vana"] == {"success": synced, "failed": failed, "successRate": rate}


def test_pending_is_neither_success_nor_failure(reader: Any) -> None:
    SyncJobFactory(status="pending")
    SyncJobFactory(status="running")

    assert get_stats(reader).json()["vana"] == {"success": 0, "failed": 0, "successRate": 0}
    assert get_stats(reader).json()["akave"] == {"success": 2, "failed": 0, "successRate": 100}


@pytest.mark.parametrize("status", ["retrying", "failed", "blocked"])
def test_failed_is_what_ended_in_an_error(reader: Any, status: str) -> None:
    SyncJobFactory(status=status)

    assert get_stats(reader).json()["vana"]["failed"] == 1


def test_a_partner_that_is_off_is_left_out(reader: Any) -> None:
    PartnerFactory(name="vana", state="off")

    assert list(get_stats(reader).json()) == ["total", "akave"]


def test_stats_are_only_read(admin: Any) -> None:
    response = Client().post(STATS, headers=bearer(admin))

    assert response.status_code == 405
    assert error_of(response)


# --- POST retry-failed-syncs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [RETRY, f"{RETRY}/"])
def test_retry_answers_exactly_these_keys(admin: Any, path: str) -> None:
    SyncJobFactory.create_batch(5)

    response = post_retry(admin, {"partner": "vana", "dataType": "health"}, path)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.content == (
        b'{"message":"Added 5 failed syncs back to queue for retry","totalFailed":5,"retryCount":5}'
    )


def test_retry_of_nothing_says_so(admin: Any) -> None:
    assert post_retry(admin, {"partner": "vana"}).json() == {
        "message": "Added 0 failed syncs back to queue for retry",
        "totalFailed": 0,
        "retryCount": 0,
    }


def test_retry_makes_the_failures_due_with_a_new_budget(admin: Any) -> None:
    job = SyncJobFactory(status="failed", attempts=12, due_at=hours_ago(-5))

    post_retry(admin, {"partner": "vana"})

    again = SyncJob.objects.get(pk=job.pk)
    assert (again.status, again.attempts, again.priority) == ("pending", 0, 1)
    assert again.due_at < hours_ago(-1)


def test_retried_failures_are_synced_by_the_next_worker(admin: Any, reader: Any) -> None:
    record = DataUnionFactory()
    HealthDataFactory(record=record)
    SyncJobFactory(record=record, step="")

    post_retry(admin, {"partner": "vana"})
    engine.push("vana")

    assert get_stats(reader).json()["vana"] == {"success": 1, "failed": 0, "successRate": 100}
    assert DataUnion.find_failed_syncs("vana") == []


def test_retry_leaves_other_partners_types_and_blocked_work_alone(admin: Any) -> None:
    wanted = SyncJobFactory()
    others = [
        SyncJobFactory(partner="akave"),
        SyncJobFactory(record=DataUnionFactory(data_type="checkin")),
        SyncJobFactory(status="blocked"),
    ]

    answer = post_retry(admin, {"partner": "vana", "dataType": "health"}).json()

    assert (answer["totalFailed"], answer["retryCount"]) == (2, 1)
    statuses = dict(SyncJob.objects.values_list("pk", "status"))
    assert statuses == {wanted.pk: "pending", **{job.pk: job.status for job in others}}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "partner is missing; it should be one of: akave, vana"),
        ({"partner": "filecoin"}, "Partner filecoin not found; there are: akave, vana"),
        ({"partner": "vana", "dataType": "sleep"}, "Data type 'sleep' is unknown; there are: health, checkin"),
        ([], "This should be a JSON object."),
    ],
)
def test_retry_of_what_is_unknown_is_400_and_names_the_valid(admin: Any, body: object, sentence: str) -> None:
    SyncJobFactory()

    response = post_retry(admin, body)

    assert (response.status_code, error_of(response)) == (400, sentence)
    assert SyncJob.objects.get().status == "failed"
    assert not RetryRun.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"{'partner': 'vana'}", b"\xff\xfe", b"NaN", b'{"partner": "vana"} x'])
def test_malformed_json_is_400(admin: Any, body: bytes) -> None:
    SyncJobFactory()

    response = post_retry(admin, body)

    assert response.status_code == 400
    assert error_of(response)
    assert SyncJob.objects.get().status == "failed"


def test_a_body_over_the_limit_is_413(admin: Any, settings: Any) -> None:
    settings.DATAUNION = replace(settings.DATAUNION, api_max_body_bytes=100)
    SyncJobFactory()

    response = post_retry(admin, {"partner": "vana", "dataType": "x" * 100})

    assert response.status_code == 413
    assert "100 bytes" in error_of(response)
    assert SyncJob.objects.get().status == "failed"


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", STATS), ("POST", RETRY)])
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", f"Bearer du_{'a' * 8}_{'b' * 43}", "basic"])
def test_whoever_is_not_known_is_401(db: None, method: str, path: str, header: str) -> None:
    SyncJobFactory()
    if header == "basic":
        header = "Basic " + base64.b64encode(b"admin:admin").decode()

    response = Client().generic(
        method, path, b'{"partner": "vana"}', "application/json", headers={"Authorization": header}
    )

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert error_of(response)
    assert SyncJob.objects.get().status == "failed"


@pytest.mark.parametrize("changes", [{"revoked_at": hours_ago(1)}, {"expires_at": hours_ago(1)}])
def test_a_key_that_ended_is_401(changes: dict[str, Any]) -> None:
    assert get_stats(ApiKeyFactory(**changes)).status_code == 401


@pytest.mark.parametrize("scope", ["read", "ingest"])
def test_a_key_of_another_scope_is_403(scope: str) -> None:
    SyncJobFactory()

    response = post_retry(ApiKeyFactory(scopes=[scope]), {"partner": "vana"})

    assert response.status_code == 403
    assert error_of(response) == f"This needs a key with the scope admin; this one has: {scope}."
    assert SyncJob.objects.get().status == "failed"


def test_a_key_that_only_hands_in_may_not_read(db: None) -> None:
    assert get_stats(ApiKeyFactory(scopes=["ingest"])).status_code == 403


def test_the_staff_may_both_and_others_neither(db: None) -> None:
    SyncJobFactory()
    staff, other = Client(), Client()
    staff.force_login(StaffFactory())
    other.force_login(UserFactory())
    retry = {"data": {"partner": "vana"}, "content_type": "application/json"}

    assert (other.get(STATS).status_code, other.post(RETRY, **retry).status_code) == (403, 403)
    assert (staff.get(STATS).status_code, staff.post(RETRY, **retry).status_code) == (200, 200)


def test_a_session_from_another_site_may_not_retry(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(StaffFactory())

    response = client.post(RETRY, {"partner": "vana"}, content_type="application/json")

    assert response.status_code == 403
    assert not RetryRun.objects.exists()
