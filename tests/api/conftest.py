"""Who asks, and how: `ask(key, "GET", "stats")`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from dataunion.models import ApiKey
from tests.factories import ApiKeyFactory

Ask = Callable[..., HttpResponse]


@pytest.fixture(autouse=True, scope="session")
def _static_folder() -> None:
    """Make the folder that whitenoise warns of when it is missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    """Forget the requests that other tests made."""
    cache.clear()


@pytest.fixture
def reader(db: None) -> ApiKey:
    """Return a key that may read."""
    return ApiKeyFactory(scopes=["read"], name="reader")


@pytest.fixture
def ingester(db: None) -> ApiKey:
    """Return a key that may hand in."""
    return ApiKeyFactory(scopes=["ingest"], name="ingester")


@pytest.fixture
def admin(db: None) -> ApiKey:
    """Return a key that may do everything."""
    return ApiKeyFactory(scopes=["admin"], name="boss")


@pytest.fixture
def ask() -> Ask:
    """Return `ask(who, method, path, body=None, **headers)`; a path without a slash is one of /api/v1/.

    `who` is a key, a person whose session it is, or None; `body` is sent as JSON, bytes as they are.
    """

    def send(who: Any, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        client = Client()
        if isinstance(who, ApiKey):
            headers = {"Authorization": f"Bearer {who.key}", **headers}  # type: ignore[attr-defined]
        elif who is not None:
            client.force_login(who)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        content_type = headers.pop("Content-Type", "application/json")
        where = path if path.startswith("/") else f"/api/v1/{path}"
        return client.generic(method, where, data, content_type, headers=headers)

    return send


def assert_problem(response: HttpResponse, status: int, sentence: str) -> dict[str, Any]:
    """Check that this is a problem with exactly this sentence; return its members."""
    assert response["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, found["error"]) == (status, sentence)
    assert found["status"] == status
    assert found["detail"] == sentence
    assert found["type"] == "about:blank"
    assert found["title"]
    return found
