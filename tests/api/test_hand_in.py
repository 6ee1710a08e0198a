"""Handing in records: one, or many."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from dataunion import vault
from dataunion.conf import conf
from dataunion.models import CheckIn, DataUnion, HealthData, SyncJob
from tests.api.conftest import Ask, assert_problem
from tests.factories import HealthDataFactory

pytestmark = pytest.mark.django_db
REFERENCE = {"user_hash": "u-1", "data_type": "health", "data_id": "d-1"}
NEW = {**REFERENCE, "payload": {"steps": 1200}}
OWNER = {"address": "0x" + "aB" * 20, "public_key": "04" + "0f" * 64}


def _payload(record_id: str) -> bytes:
    row = HealthData.objects.get(pk=record_id)
    return vault.open_sealed(bytes(row.payload), "healthdata", row.pk)


def _nothing_is_stored() -> bool:
    return not any(model.objects.exists() for model in (DataUnion, SyncJob, HealthData, CheckIn))


# --- one record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["records", "records/"])
def test_a_new_record_is_made_with_its_data_and_its_work(ask: Ask, ingester, path: str) -> None:
    body = {**NEW, "schema": "omh:step-count", "recorded_at": "2026-01-31T08:30:00+02:00", "owner": OWNER}

    response = ask(ingester, "POST", path, body)

    record = DataUnion.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/records/{record.pk}"
    found = response.json()
    waiting = {
        "is_synced": False,
        "status": "pending",
        "error_message": None,
        "synced_at": None,
        "withdrawn_at": None,
        "attempts": 0,
    }
    assert found["id"] == str(record.pk)
    assert {name: found[name] for name in REFERENCE} == REFERENCE
    assert found["partners"] == {"akave": waiting, "vana": waiting}
    assert "payload" not in found
    assert _payload(found["id"]) == b'{"steps":1200}'
    stored = HealthData.objects.get()
    assert (stored.schema_name, stored.owner) == ("omh:step-count", OWNER)
    assert stored.recorded_at == datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
    assert sorted(SyncJob.objects.values_list("partner", "status")) == [("akave", "pending"), ("vana", "pending")]


def test_the_same_record_again_is_answered_200_and_changes_nothing(ask: Ask, ingester) -> None:
    first = ask(ingester, "POST", "records", NEW)

    second = ask(ingester, "POST", "records", NEW)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert (DataUnion.objects.count(), HealthData.objects.count(), SyncJob.objects.count()) == (1, 1, 2)


def test_other_content_under_the_same_reference_is_a_conflict(ask: Ask, ingester) -> None:
    made = ask(ingester, "POST", "records", NEW).json()

    response = ask(ingester, "POST", "records", {**NEW, "payload": {"steps": 1300}})

    assert_problem(
        response,
        409,
        "other content is already stored under this user_hash, data_type and data_id; use a new data_id",
    )
    assert _payload(made["id"]) == b'{"steps":1200}'


def test_a_record_without_payload_waits_for_its_data(ask: Ask, ingester) -> None:
    made = ask(ingester, "POST", "records", REFERENCE)

    assert made.status_code == 201
    assert not HealthData.objects.exists()
    assert SyncJob.objects.filter(due_at__gt=timezone.now()).count() == 2

    again = ask(ingester, "POST", "records", NEW)

    assert again.status_code == 200
    assert again.json()["id"] == made.json()["id"]
    assert _payload(made.json()["id"]) == b'{"steps":1200}'
    assert SyncJob.objects.filter(due_at__lte=timezone.now()).count() == 2


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'{"b": 1, "a": [true, null]}', b'{"b":1,"a":[true,null]}'),
        (b'"bare text"', b'"bare text"'),
        (b"null", b"null"),
        (b"[ ]", b"[]"),
        (b"72.5", b"72.5"),
        (b"12345678901234567890123", b"12345678901234567890123"),
        ('"Grüße \\u00fc \\ud83d\\ude00"'.encode(), '"Grüße ü 😀"'.encode()),
    ],
)
def test_any_json_value_is_a_payload(ask: Ask, ingester, sent: bytes, kept: bytes) -> None:
    body = b'{"user_hash": "u", "data_type": "health", "data_id": "d", "payload": ' + sent + b"}"

    response = ask(ingester, "POST", "records", body)

    assert response.status_code == 201
    assert _payload(response.json()["id"]) == kept


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        (
            {"user_hash": "ann@example.org"},
            "user_hash",
            "user_hash looks like an e-mail address; hand in a hash of it, never the address itself",
        ),
        ({"user_hash": "a b"}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
        ({"user_hash": "x" * 129}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
        ({"user_hash": 7}, "user_hash", "user_hash should be a string"),
        ({"user_hash": None}, "user_hash", "user_hash should not be null"),
        ({"user_hash": ""}, "user_hash", "user_hash should not be empty"),
        ({"data_type": "sleep"}, "data_type", "data_type should be one of: health, checkin"),
        ({"data_type": ["health"]}, "data_type", "data_type should be a string"),
        ({"data_id": ""}, "data_id", "data_id should not be empty"),
        ({"data_id": "x" * 513}, "data_id", "data_id should be 1 to 512 characters"),
        ({"data_id": "a\x00b"}, "data_id", "data_id: Null characters are not allowed."),
        ({"schema": "x" * 101}, "schema", "schema should have at most 100 characters"),
        ({"recorded_at": "yesterday"}, "recorded_at", "recorded_at should be a time such as 2026-01-31T08:30:00Z"),
        ({"recorded_at": 1700000000}, "recorded_at", "recorded_at should be a time such as 2026-01-31T08:30:00Z"),
        (
            {"recorded_at": "2026-01-31T08:30:00"},
            "recorded_at",
            "recorded_at should end with Z or an offset such as +02:00",
        ),
        ({"recorded_at": "0001-01-01T00:00:00+14:00"}, "recorded_at", "recorded_at is out of range"),
        ({"owner": "0x"}, "owner", "owner should be an object"),
        ({"owner": {}}, "owner.address", "owner.address is missing"),
        ({"owner": {"address": "0x12"}}, "owner", "owner.address should be 0x and 40 hexadecimal digits"),
        (
            {"owner": {**OWNER, "public_key": "02"}},
            "owner",
            "owner.public_key should be 04 and 128 hexadecimal digits",
        ),
        (
            {"owner": {**OWNER, "name": "Ann"}},
            "owner.name",
            "owner.name is not known here; there are: address, public_key",
        ),
        (
            {"userHash": "u"},
            "userHash",
            "userHash is not known here; there are: user_hash, data_type, data_id, payload, schema, recorded_at, owner",
        ),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    ask: Ask, ingester, changes: dict[str, Any], field: str, sentence: str
) -> None:
    response = ask(ingester, "POST", "records", {**NEW, **changes})

    assert assert_problem(response, 400, sentence)["field"] == field
    assert _nothing_is_stored()


@pytest.mark.parametrize("field", ["user_hash", "data_type", "data_id"])
def test_a_missing_field_is_named(ask: Ask, ingester, field: str) -> None:
    body = {name: value for name, value in NEW.items() if name != field}

    assert_problem(ask(ingester, "POST", "records", body), 400, f"{field} is missing")
    assert _nothing_is_stored()


def test_a_payload_over_the_limit_is_too_large(ask: Ask, ingester) -> None:
    limit = conf().ingest_max_payload_bytes

    response = ask(ingester, "POST", "records", {**NEW, "payload": "x" * (limit - 1)})

    assert_problem(response, 413, f"payload has {limit + 1} bytes; the limit is {limit} bytes")
    assert _nothing_is_stored()


def test_a_payload_at_the_limit_is_taken(ask: Ask, ingester) -> None:
    limit = conf().ingest_max_payload_bytes

    assert ask(ingester, "POST", "records", {**NEW, "payload": "x" * (limit - 2)}).status_code == 201


# --- a batch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda records: {"records": records}, lambda records: records])
def test_a_batch_has_a_result_for_each_record(ask: Ask, ingester, wrap: Any) -> None:
    known = HealthDataFactory(content={"steps": 1})
    same = {"user_hash": known.user_hash, "data_type": "health", "data_id": known.data_id}
    limit = conf().ingest_max_payload_bytes
    batch = [
        {**NEW, "data_id": "new"},
        {**same, "payload": {"steps": 1}},
        {**same, "payload": {"steps": 2}},
        {**NEW, "user_hash": "ann@example.org"},
        "no record",
        {**NEW, "data_id": "big", "payload": "x" * limit},
    ]

    response = ask(ingester, "POST", "records", wrap(batch))

    new = DataUnion.objects.get(data_id="new")
    assert response.status_code == 200
    assert response.json() == {
        "results": [
            {"status": 201, "id": str(new.pk)},
            {"status": 200, "id": str(known.pk)},
            {
                "status": 409,
                "error": "other content is already stored under this user_hash, data_type and data_id; "
                "use a new data_id",
            },
            {
                "status": 400,
                "error": "user_hash looks like an e-mail address; hand in a hash of it, never the address itself",
                "field": "user_hash",
            },
            {"status": 400, "error": "This should be a JSON object.", "field": ""},
            {"status": 413, "error": f"payload has {limit + 2} bytes; the limit is {limit} bytes"},
        ]
    }
    assert DataUnion.objects.count() == 2


def test_a_batch_may_be_sent_again(ask: Ask, ingester) -> None:
    batch = [{**NEW, "data_id": f"d-{n}"} for n in range(5)]

    first = ask(ingester, "POST", "records", batch).json()["results"]
    second = ask(ingester, "POST", "records", batch).json()["results"]

    assert [row["status"] for row in first + second] == [201] * 5 + [200] * 5
    assert [row["id"] for row in first] == [row["id"] for row in second]
    assert SyncJob.objects.count() == 10


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "Hand in 1 to 1000 records at once; these are 0."),
        ({"records": []}, "Hand in 1 to 1000 records at once; these are 0."),
        ([NEW] * 1001, "Hand in 1 to 1000 records at once; these are 1001."),
        ({"records": NEW}, "records should be a list"),
    ],
)
def test_a_batch_of_a_wrong_size_is_refused(ask: Ask, ingester, body: object, sentence: str) -> None:
    assert_problem(ask(ingester, "POST", "records", body), 400, sentence)
    assert _nothing_is_stored()


# --- tracking is off -------------------------------------------------------------------------------------------------


def test_while_tracking_is_off_a_new_record_is_asked_to_come_again(ask: Ask, ingester, settings: Any) -> None:
    settings.DATAUNION_TRACKING = False

    response = ask(ingester, "POST", "records", NEW)

    assert_problem(response, 503, "new records are not taken now (DATAUNION_TRACKING is off); hand this in again later")
    assert response["Retry-After"] == "60"
    assert _nothing_is_stored()


def test_while_tracking_is_off_each_new_record_of_a_batch_says_so(ask: Ask, ingester, settings: Any) -> None:
    there = ask(ingester, "POST", "records", NEW).json()["id"]
    settings.DATAUNION_TRACKING = False

    results = ask(ingester, "POST", "records", [NEW, {**NEW, "data_id": "d-2"}]).json()["results"]

    assert results[0] == {"status": 200, "id": there}
    assert (results[1]["status"], DataUnion.objects.count()) == (503, 1)
