"""Who may do what. The endpoints are read from the URLs, so that a new one cannot be forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from dataunion.access import Scope, find_key
from dataunion.api.auth import KeyThrottle
from dataunion.conf import Conf
from dataunion.models import ApiKey, Partner
from tests.api.conftest import Ask, assert_problem
from tests.factories import PASSWORD, AdminFactory, ApiKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
STATS = "/api/users/admin/sync-stats"
OLD_RETRY = "/api/users/admin/retry-failed-syncs"
PUBLIC = {"/api/schema", "/api/docs"}


def _endpoints() -> Iterator[tuple[str, str, Scope]]:
    """Yield (path, method, scope) of all that the resolver knows under /api/."""
    for pattern in next(p for p in get_resolver().url_patterns if str(p.pattern) == "api/").url_patterns:
        scopes = getattr(pattern.callback.cls, "scopes", None)
        path = "/api/" + str(pattern.pattern)
        if path in PUBLIC or path == "/api/":  # the last is what catches the rest
            continue
        assert scopes, f"{path} says no scopes"
        known = {name for name in ("get", "post", "put", "patch", "delete") if hasattr(pattern.callback.cls, name)}
        assert known == {method.lower() for method in scopes}, f"{path} has a method without a scope"
        for name in ("record_id", "run_id"):
            path = path.replace(f"<uuid:{name}>", str(uuid.UUID(int=7)))
        for method, scope in scopes.items():
            yield path.replace("<str:name>", "vana"), method, scope


ENDPOINTS = sorted(_endpoints())
REFUSALS = (401, 403, 405, 500)
KEYS = {"read": ["read"], "ingest": ["ingest"], "admin": ["admin"], "read and ingest": ["read", "ingest"]}


def test_every_endpoint_stands_with_and_without_its_slash() -> None:
    paths = {path for path, _, _ in ENDPOINTS}

    assert len(paths) == 28
    assert {path for path in paths if path.endswith("/")} == {f"{p}/" for p in paths if not p.endswith("/")}


def test_nobody_comes_in_without_a_key_or_session(ask: Ask) -> None:
    for path, method, _ in ENDPOINTS:
        response = ask(None, method, path)

        assert_problem(response, 401, "Authentication credentials were not provided.")
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("owner", KEYS)
def test_a_key_opens_what_its_scope_names(ask: Ask, owner: str) -> None:
    key, has = ApiKeyFactory(scopes=KEYS[owner]), ", ".join(sorted(KEYS[owner]))
    for path, method, scope in ENDPOINTS:
        response = ask(key, method, path)

        if scope in KEYS[owner] or owner == "admin":
            assert response.status_code not in REFUSALS, (method, path)
        else:
            assert_problem(response, 403, f"This needs a key with the scope {scope}; this one has: {has}.")


def test_a_person_who_is_not_staff_may_do_nothing(ask: Ask) -> None:
    person = UserFactory()
    for path, method, _ in ENDPOINTS:
        assert_problem(ask(person, method, path), 403, "Only staff may do this.")


def test_staff_may_read_and_bulk_retry(ask: Ask) -> None:
    staff = StaffFactory()
    for path, method, _ in ENDPOINTS:
        response = ask(staff, method, path)

        if method == "GET" or path.rstrip("/") == OLD_RETRY:
            assert response.status_code not in REFUSALS, (method, path)
        else:
            assert_problem(response, 403, "This needs the permission dataunion.operate.")


def test_a_superuser_may_do_everything(ask: Ask) -> None:
    person = AdminFactory()
    for path, method, _ in ENDPOINTS:
        assert ask(person, method, path).status_code not in REFUSALS, (method, path)


def test_an_inactive_person_of_the_staff_is_nobody(ask: Ask) -> None:
    assert ask(StaffFactory(is_active=False), "GET", STATS).status_code == 401


def test_a_session_needs_the_csrf_token_to_change_anything() -> None:
    staff = StaffFactory()
    client, token = Client(enforce_csrf_checks=True), "t" * 32
    assert client.login(username=staff.username, password=PASSWORD)
    client.cookies["csrftoken"] = token

    refused = client.post(OLD_RETRY, {"partner": "vana"}, "application/json")
    taken = client.post(OLD_RETRY, {"partner": "vana"}, "application/json", headers={"X-CSRFToken": token})

    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["error"].startswith("CSRF Failed")
    assert taken.status_code == 200


def test_a_key_needs_no_csrf_token(reader: ApiKey) -> None:
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {reader.key}"})  # type: ignore[attr-defined]

    assert client.post(OLD_RETRY, {}, "application/json").status_code == 403
    assert client.get(STATS).status_code == 200


# --- keys ------------------------------------------------------------------------------------------------------------

UNKNOWN = "This API key is not known; make one with ./run manage create_api_key"


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key[:3] + "00000000" + key[11:],
        lambda key: key[3:],
        lambda key: "",
        lambda key: "du_é",
        lambda key: key + "x",
    ],
)
def test_a_wrong_key_opens_nothing(ask: Ask, reader, change: Any) -> None:
    response = ask(None, "GET", STATS, Authorization=f"Bearer {change(reader.key)}")

    assert_problem(response, 401, UNKNOWN)
    assert response["WWW-Authenticate"] == "Bearer"


def test_the_word_bearer_may_be_written_in_any_case(ask: Ask, reader) -> None:
    assert ask(None, "GET", STATS, Authorization=f"bEARER {reader.key}").status_code == 200


def test_another_scheme_is_not_ours(ask: Ask, reader) -> None:
    assert ask(None, "GET", STATS, Authorization=f"Basic {reader.key}").status_code == 401


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("expires_at", "This API key has expired; ask for a new one"),
        ("revoked_at", "This API key was revoked; ask for a new one"),
    ],
)
def test_a_key_ends(ask: Ask, field: str, sentence: str) -> None:
    past, future = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(hours=1)

    assert ask(ApiKeyFactory(**{field: future}), "GET", STATS).status_code == 200
    assert_problem(ask(ApiKeyFactory(**{field: past}), "GET", STATS), 401, sentence)


def test_the_last_use_is_noted_once_a_minute(reader) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    seen = []
    for seconds in (0, 59, 60):
        find_key(reader.key, noon + timedelta(seconds=seconds))
        seen.append(ApiKey.objects.get().last_used_at)

    assert seen == [noon, noon, noon + timedelta(seconds=60)]


def test_only_a_digest_of_the_key_is_stored(reader) -> None:
    secret = reader.key.split("_", 2)[2]
    stored = ApiKey.objects.values().get()

    assert len(reader.key) == 3 + 8 + 1 + 43
    assert reader.key.startswith(f"du_{reader.prefix}_")
    assert secret not in str(stored)
    assert len(stored["digest"]) == 64


def test_keys_are_never_in_answers_or_logs(ask: Ask, reader, caplog: pytest.LogCaptureFixture) -> None:
    wrong = reader.key[:-1]
    responses = [
        ask(reader, "GET", STATS),
        ask(reader, "POST", OLD_RETRY, {}),
        ask(None, "GET", STATS, Authorization=f"Bearer {wrong}"),
        ask(reader, "POST", "records", {"user_hash": reader.key}),
    ]

    texts = [caplog.text, *(response.content.decode() for response in responses)]
    assert not any(wrong[12:] in text for text in texts)


# --- rate ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_a_minute(settings) -> None:
    """Let each key ask three times a minute."""
    settings.DATAUNION = Conf(api_requests_per_minute=3)


@pytest.mark.usefixtures("three_a_minute")
def test_a_key_may_ask_so_often_a_minute(reader) -> None:
    other = ApiKeyFactory()

    def asks(key: ApiKey, second: float) -> tuple[bool, float]:
        throttle = KeyThrottle(clock=lambda: 1_800_000_000 + second)  # the first second of a minute
        return throttle.allow_request(SimpleNamespace(auth=key), None), throttle.wait()

    assert [asks(reader, second) for second in (0, 17, 59)] == [(True, 60), (True, 43), (True, 1)]
    assert asks(reader, 59) == (False, 1)
    assert asks(other, 59) == (True, 1)
    assert asks(reader, 60) == (True, 60)


@pytest.mark.usefixtures("three_a_minute")
def test_a_key_that_asks_too_often_is_told_when_to_come_back(ask: Ask, reader) -> None:
    # Seven requests meet at most two minutes, so one of the two has more than three.
    over = next(r for r in (ask(reader, "GET", STATS) for _ in range(7)) if r.status_code != 200)

    wait_s = int(over["Retry-After"])
    assert 1 <= wait_s <= 60
    assert_problem(over, 429, f"Request was throttled. Expected available in {wait_s} second{'s' * (wait_s > 1)}.")


@pytest.mark.usefixtures("three_a_minute")
def test_sessions_are_not_limited(ask: Ask) -> None:
    staff = StaffFactory()

    assert {ask(staff, "GET", STATS).status_code for _ in range(5)} == {200}


@pytest.mark.usefixtures("three_a_minute")
def test_without_a_cache_nobody_is_limited(ask: Ask, reader, settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert {ask(reader, "GET", STATS).status_code for _ in range(5)} == {200}


def test_the_operators_permission_opens_what_changes_things(ask: Ask) -> None:
    staff = StaffFactory()
    partners = ContentType.objects.get_for_model(Partner)
    operate = Permission.objects.filter(codename="operate").first()
    operate = operate or Permission.objects.create(codename="operate", name="May operate", content_type=partners)
    staff.user_permissions.add(operate)

    assert ask(staff, "POST", "partners/vana/pause", {}).status_code == 200
