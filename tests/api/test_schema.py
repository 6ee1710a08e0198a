"""/api/schema and /api/docs: complete, true, and without anybody else's server."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from dataunion.models import SyncJob
from dataunion.state import add_spent
from tests.api.conftest import Ask
from tests.factories import DataUnionFactory, RetryRunFactory, SyncAttemptFactory, SyncJobFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema() -> dict[str, Any]:
    """Return what /api/schema says."""
    response = Client().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_the_schema_is_valid_and_made_without_a_warning(tmp_path) -> None:
    target = tmp_path / "schema.yml"

    call_command("spectacular", validate=True, fail_on_warn=True, file=str(target))

    assert yaml.safe_load(target.read_text())["info"]["title"] == "DataUnion"


def test_the_schema_names_every_path_once(schema: dict[str, Any]) -> None:
    assert sorted(schema["paths"]) == [
        "/api/users/admin/retry-failed-syncs",
        "/api/users/admin/sync-stats",
        "/api/v1/partners",
        "/api/v1/partners/{name}/pause",
        "/api/v1/partners/{name}/resume",
        "/api/v1/records",
        "/api/v1/records/{record_id}",
        "/api/v1/records/{record_id}/attempts",
        "/api/v1/records/{record_id}/partners/{name}",
        "/api/v1/records/{record_id}/partners/{name}/retry",
        "/api/v1/retry-runs",
        "/api/v1/retry-runs/{run_id}",
        "/api/v1/retry-runs/{run_id}/cancel",
        "/api/v1/stats",
    ]


def test_the_schema_says_how_to_sign_in(schema: dict[str, Any]) -> None:
    assert set(schema["components"]["securitySchemes"]) == {"apiKey", "cookieAuth"}
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_every_operation_can_be_refused(schema: dict[str, Any]) -> None:
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert {"401", "403", "429"} <= set(operation["responses"])
            assert set(operation["responses"]["401"]["content"]) == {"application/problem+json"}


def test_the_docs_come_from_this_server_alone() -> None:
    client = Client()
    page = client.get("/api/docs")

    text = page.content.decode()
    used = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert page.status_code == 200
    assert used
    assert not re.findall(r"https?://|[\"']//", text)
    for address in used:
        assert address.startswith("/static/")
        file = client.get(address)
        assert file.status_code == 200
        file.close()


def _validator(schema: dict[str, Any], path: str, method: str, response: Any) -> Any:
    content = schema["paths"][path][method]["responses"][str(response.status_code)]["content"]
    media = content[response["Content-Type"].partition(";")[0]]["schema"]
    text = json.dumps({**media, "components": schema["components"]})
    # OpenAPI 3.0 says `nullable` where JSON schema says a second type.
    found = json.loads(text, object_hook=_allow_null)
    return jsonschema.Draft7Validator(found)


def _allow_null(node: dict[str, Any]) -> dict[str, Any]:
    if node.pop("nullable", False) is True:
        return {"anyOf": [node, {"type": "null"}]}
    return node


def test_answers_are_as_the_schema_says(ask: Ask, admin, schema: dict[str, Any]) -> None:
    job, run = SyncJobFactory(), RetryRunFactory()
    DataUnionFactory()
    SyncAttemptFactory(record=job.record, spent=None)
    SyncAttemptFactory(record=job.record, spent=add_spent(None, "store", took_ms=1, since=run.created_at.isoformat()))
    new = {"user_hash": "u", "data_type": "health", "data_id": "d", "payload": 1}
    ids = {"record_id": job.record_id, "run_id": run.pk, "name": "vana"}
    asked: list[tuple[str, str, Any, int]] = [
        ("/api/users/admin/sync-stats", "get", None, 200),
        ("/api/v1/stats", "get", None, 200),
        ("/api/v1/partners", "get", None, 200),
        ("/api/v1/records", "get", None, 200),
        ("/api/v1/records", "post", new, 201),
        ("/api/v1/records", "post", new, 200),
        ("/api/v1/records", "post", [new, {}], 200),
        ("/api/v1/records", "post", {}, 400),
        ("/api/v1/records", "post", {**new, "payload": 2}, 409),
        ("/api/v1/records/{record_id}", "get", None, 200),
        ("/api/v1/records/{record_id}/attempts", "get", None, 200),
        ("/api/v1/retry-runs", "get", None, 200),
        ("/api/v1/retry-runs", "post", {"partner": "vana", "dry_run": True}, 200),
        ("/api/v1/retry-runs/{run_id}", "get", None, 200),
        ("/api/v1/retry-runs/{run_id}/cancel", "post", None, 200),
        ("/api/v1/retry-runs/{run_id}/cancel", "post", None, 409),
        ("/api/v1/records/{record_id}/partners/{name}/retry", "post", None, 200),
        ("/api/users/admin/retry-failed-syncs", "post", {"partner": "vana"}, 200),
        ("/api/v1/retry-runs", "post", {"partner": "vana"}, 201),
        ("/api/v1/records/{record_id}/partners/{name}", "put", {"is_synced": True}, 200),
        ("/api/v1/records/{record_id}/partners/{name}/retry", "post", None, 409),
        ("/api/v1/partners/{name}/pause", "post", {}, 200),
        ("/api/v1/partners/{name}/resume", "post", None, 200),
    ]
    for path, method, body, status in asked:
        response = ask(admin, method.upper(), path.format(**ids), body)
        assert response.status_code == status, (path, response.content)
        _validator(schema, path, method, response).validate(json.loads(response.content))

    assert {path for path, *_ in asked} == set(schema["paths"])
    assert not SyncJob.objects.filter(pk=job.pk).exists()


def test_times_are_iso_8601(ask: Ask, reader) -> None:
    as_of = ask(reader, "GET", "stats").json()["as_of"]

    assert datetime.fromisoformat(as_of).tzinfo is not None
