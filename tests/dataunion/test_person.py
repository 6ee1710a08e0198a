"""What the export about one person holds, and what it never does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from dataunion import claims, person, vault
from dataunion.models import HealthData, SyncJob
from dataunion.state import add_spent
from tests.factories import (
    CheckInFactory,
    DataUnionFactory,
    HealthDataFactory,
    RemoteRefFactory,
    SyncAttemptFactory,
    SyncJobFactory,
    synced_entry,
)

pytestmark = pytest.mark.django_db


def export(user_hash: str = "u1", **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("".join(person.write_export(user_hash, timezone.now(), **options)))
    return found


def test_an_export_has_all_that_is_stored_about_a_record() -> None:
    record = DataUnionFactory(user_hash="u1", data_id="d1", partners={"akave": synced_entry("akave")})
    HealthDataFactory(record=record, content={"pulse": 61}, schema_name="heart", owner={"address": "0xabc"})
    SyncJobFactory(record=record, partner="vana")
    spent = add_spent(None, "store", took_ms=110, since="2026-01-02T03:04:05+00:00")
    SyncAttemptFactory(record=record, trigger="grace", code="SlowDown", spent=spent)
    RemoteRefFactory(record=record, value="0xfeed")
    DataUnionFactory(user_hash="u2")

    found = export()

    [one] = found["records"]
    assert (found["user_hash"], found["complete"], one["record_id"], one["data_id"]) == (
        "u1",
        True,
        str(record.pk),
        "d1",
    )
    assert (one["data"], one["schema_name"], one["owner"]) == ({"pulse": 61}, "heart", {"address": "0xabc"})
    assert one["partners"]["akave"]["url"] == "https://akave.example/object"
    assert [(job["partner"], job["status"]) for job in one["open_work"]] == [("vana", "failed")]
    assert [(attempt["partner"], attempt["code"]) for attempt in one["attempts"]] == [("vana", "SlowDown")]
    assert one["attempts"][0]["spent"] == [dict(line) for line in spent]
    assert one["remote_references"] == [{"partner": "vana", "kind": "tx_hash", "value": "0xfeed"}]


def test_an_export_has_no_secret_and_nobody_of_the_staff() -> None:
    sealed = vault.to_text(vault.seal_json({"file_key": "plant-1"}, "sync", "x", "akave"))
    record = DataUnionFactory(user_hash="u1", partners={"akave": synced_entry("akave", retry_data=sealed)})
    job = SyncJobFactory(record=record, partner="vana", trigger="grace")
    saved = claims.seal_saved(record.pk, "vana", {"iv": "plant-2"})
    SyncJob.objects.filter(pk=job.pk).update(saved=saved)
    SyncAttemptFactory(record=record, trigger="grace")

    text = "".join(person.write_export("u1", timezone.now()))

    assert [word for word in ("plant", "retry_data", "saved", sealed[:20], "grace") if word in text] == []


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (b'{"mood": "good"}', {"data": {"mood": "good"}}),
        ("grüezi".encode(), {"data": "grüezi"}),
        (b"\xff\x00", {"data_base64": "/wA="}),
    ],
)
def test_data_is_shown_as_what_it_is(stored: bytes, shown: dict[str, Any]) -> None:
    record = DataUnionFactory(user_hash="u1")
    sealed = vault.seal(stored, "healthdata", record.pk)
    HealthDataFactory(record=record)
    HealthData.objects.update(payload=sealed)

    [one] = export()["records"]

    assert {name: one[name] for name in shown} == shown


def test_data_that_is_missing_or_does_not_open_says_so_and_the_rest_is_there() -> None:
    DataUnionFactory(user_hash="u1")
    HealthDataFactory(record=DataUnionFactory(user_hash="u1"))
    HealthData.objects.update(payload=b"\x01" + bytes(200))
    CheckInFactory(record=DataUnionFactory(user_hash="u1", data_type="checkin"), content={"mood": "good"})

    checkin, damaged, missing = export()["records"]

    assert checkin["data"] == {"mood": "good"}
    assert (damaged["data"], "DATAUNION_VAULT_KEYS" in damaged["data_missing"]) == (None, True)
    assert (missing["data"], missing["data_missing"]) == (None, "not handed in")


def test_every_record_comes_once_over_many_pages() -> None:
    records = [DataUnionFactory(user_hash="u1") for _ in range(7)]

    found = export(at_once=3)

    assert [one["record_id"] for one in found["records"]] == [str(record.pk) for record in reversed(records)]


def test_a_file_that_was_cut_off_can_be_told() -> None:
    DataUnionFactory(user_hash="u1")
    *parts, _ = person.write_export("u1", timezone.now())

    with pytest.raises(ValueError, match="Expecting"):
        json.loads("".join(parts))


def test_nobody_gives_an_empty_list() -> None:
    assert export("nobody")["records"] == []
