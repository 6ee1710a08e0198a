"""The door in: what is refused and why, what is the same, and that nothing half-written stays."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from dataunion import vault
from dataunion.clock import db_now
from dataunion.ingest import (
    ConflictError,
    InvalidRecordError,
    NewRecord,
    Registered,
    TooLargeError,
    TrackingOffError,
    register_record,
    register_records,
)
from dataunion.models import NEVER, CheckIn, DataUnion, HealthData, SyncJob
from dataunion.sync import engine
from tests.dataunion.work import at_once, set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)


def register(**fields: Any) -> Registered:
    return register_record(**{"user_hash": "u1", "data_type": "health", "data_id": "a", "payload": b"{}", **fields})


def rows() -> tuple[int, int, int, int]:
    return (
        DataUnion.objects.count(),
        HealthData.objects.count(),
        CheckIn.objects.count(),
        SyncJob.objects.count(),
    )


# --- what comes in


def test_a_record_comes_in_with_its_data_and_a_job_for_each_partner() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    before = db_now()

    found = register(payload=b'{"x": 1}', schema_name="omh:steps", recorded_at=at)

    record = DataUnion.objects.get()
    assert (found.created, found.record) == (True, record)
    assert (record.schema_version, record.user_hash, record.data_type, record.data_id) == ("v1", "u1", "health", "a")
    assert record.partners == {
        name: {
            "is_synced": False,
            "error_message": None,
            "retry_data": None,
            "fence": 0,
            "attempts": 0,
            "synced_at": None,
        }
        for name in ("akave", "vana")
    }
    data = HealthData.objects.get()
    assert (data.pk, data.user_hash, data.data_id, data.size_bytes) == (record.pk, "u1", "a", 8)
    assert (data.schema_name, data.recorded_at, data.owner) == ("omh:steps", at, None)
    assert vault.open_sealed(bytes(data.payload), "healthdata", record.pk) == b'{"x": 1}'
    for job in SyncJob.objects.all():
        assert (job.record_id, job.user_hash, job.data_type, job.kind) == (record.pk, "u1", "health", "push")
        assert (job.status, job.priority, job.fence, job.trigger, job.lease_until) == ("pending", 0, 1, "ingest", NEVER)
        assert before <= job.due_at == job.created_at
    assert set(SyncJob.objects.values_list("partner", flat=True)) == {"akave", "vana"}


def test_a_payload_is_kept_byte_for_byte_and_unreadable_at_rest() -> None:
    payload = '{ "note" : "PLANTED-MARKER é" }\n'.encode()

    record = register(payload=payload).record

    stored = bytes(HealthData.objects.get().payload)
    assert b"PLANTED-MARKER" not in stored
    assert vault.open_sealed(stored, "healthdata", record.pk) == payload


def test_a_check_in_goes_to_its_own_table() -> None:
    register(data_type="checkin")

    assert rows() == (1, 0, 1, 2)


def test_an_empty_payload_is_a_payload() -> None:
    register(payload=b"")

    assert HealthData.objects.get().size_bytes == 0


def test_a_partner_that_is_off_gets_no_job_and_no_entry() -> None:
    set_partner("vana", state="off")

    record = register().record

    assert list(record.partners) == ["akave"]
    assert SyncJob.objects.values_list("partner", flat=True).get() == "akave"


def test_a_partner_that_is_paused_gets_its_job() -> None:
    set_partner("vana", state="paused")

    register()

    assert SyncJob.objects.count() == 2


def test_a_partner_gets_the_types_that_it_takes() -> None:
    set_partner("vana", data_types=["checkin"])

    register()
    register(data_id="b", data_type="checkin")

    assert set(SyncJob.objects.values_list("partner", "data_type")) == {
        ("akave", "health"),
        ("akave", "checkin"),
        ("vana", "checkin"),
    }


def test_a_record_may_come_without_its_data() -> None:
    record = DataUnion.create_data_union(user_hash="u1", data_type="health", data_id="a")

    assert rows() == (1, 0, 0, 2)
    waits_s = [(job.due_at - job.created_at).total_seconds() for job in SyncJob.objects.all()]
    assert waits_s == [900, 900]
    assert DataUnion.find_by_data_reference("u1", "health", "a") == record


def test_the_old_way_in_returns_the_record_that_exists() -> None:
    first = register().record

    assert DataUnion.create_data_union(user_hash="u1", data_type="health", data_id="a") == first
    assert rows() == (1, 1, 0, 2)


def test_data_that_comes_later_is_stored_and_wakes_the_jobs() -> None:
    register(payload=None)

    found = register(payload=b"{}")

    assert found.created is False
    assert HealthData.objects.get().pk == found.record.pk
    assert SyncJob.objects.filter(due_at__lte=db_now()).count() == 2


# --- the same again


def test_the_same_content_again_is_the_same_answer() -> None:
    first = register(payload=b'{"x":1}')
    before = rows()

    again = register(payload=b'{"x":1}')

    assert (again.record, again.created) == (first.record, False)
    assert rows() == before


def test_other_content_under_the_same_reference_is_refused() -> None:
    register(payload=b'{"x":1}')
    before = rows(), HealthData.objects.get().digest

    with pytest.raises(ConflictError) as refused:
        register(payload=b'{"x":2}')

    assert str(refused.value) == (
        "other content is already stored under this user_hash, data_type and data_id; use a new data_id"
    )
    assert (rows(), HealthData.objects.get().digest) == before


@pytest.mark.parametrize("other", [{"user_hash": "u2"}, {"data_type": "checkin"}, {"data_id": "b"}])
def test_another_reference_is_another_record(other: dict[str, str]) -> None:
    register()

    assert register(**other).created is True


def test_eight_who_hand_in_the_same_at_once_make_one_record_and_two_jobs() -> None:
    set_partner("akave")

    found = at_once(*[register] * 8)

    assert {type(result) for result in found} == {Registered}
    assert sum(result.created for result in found) == 1
    assert {result.record.pk for result in found} == {DataUnion.objects.get().pk}
    assert rows() == (1, 1, 0, 2)


def test_of_two_who_hand_in_different_content_at_once_one_is_refused() -> None:
    set_partner("akave")

    found = at_once(lambda: register(payload=b"1"), lambda: register(payload=b"2"))

    assert sorted(type(result).__name__ for result in found) == ["ConflictError", "Registered"]
    assert rows() == (1, 1, 0, 2)


def test_eight_who_bring_the_data_at_once_store_it_once() -> None:
    register(payload=None)

    found = at_once(*[register] * 8)

    assert {result.created for result in found} == {False}
    assert rows() == (1, 1, 0, 2)


# --- what is refused


REFUSED = [
    ({"user_hash": "ann@example.com"}, "user_hash", "user_hash looks like an e-mail address; hand in a hash of it, never the address itself"),  # noqa: E501
    ({"user_hash": ""}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": "x" * 129}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": "a b"}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": "aé"}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": "a\n"}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": 7}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"user_hash": None}, "user_hash", "user_hash should be 1 to 128 letters, digits, - or _"),
    ({"data_type": "steps"}, "data_type", "data_type should be one of: health, checkin"),
    ({"data_type": ["health"]}, "data_type", "data_type should be one of: health, checkin"),
    ({"data_type": None}, "data_type", "data_type should be one of: health, checkin"),
    ({"data_id": ""}, "data_id", "data_id should be 1 to 512 characters"),
    ({"data_id": "x" * 513}, "data_id", "data_id should be 1 to 512 characters"),
    ({"data_id": "a\x00"}, "data_id", "data_id should be 1 to 512 characters"),
    ({"data_id": "a\ud800"}, "data_id", "data_id should be 1 to 512 characters"),
    ({"data_id": 7}, "data_id", "data_id should be 1 to 512 characters"),
    ({"schema_name": "x" * 101}, "schema", "schema should be a name of at most 100 characters"),
    ({"schema_name": "\udfff"}, "schema", "schema should be a name of at most 100 characters"),
    ({"owner": "0x"}, "owner", "owner should be an object with address and public_key"),
    ({"owner": {}}, "owner", "owner.address should be 0x and 40 hexadecimal digits"),
    ({"owner": {"address": "0x12"}}, "owner", "owner.address should be 0x and 40 hexadecimal digits"),
    ({"owner": {"address": "0x" + "a" * 40, "public_key": "05"}}, "owner", "owner.public_key should be 04 and 128 hexadecimal digits"),  # noqa: E501
    ({"owner": {"address": "0x" + "a" * 40, "name": "Ann"}}, "owner", "owner may hold address and public_key only"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "field", "message"), REFUSED)
def test_a_wrong_field_is_named_with_what_it_should_hold(wrong: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRecordError) as refused:
        register(**wrong)

    assert (refused.value.field, str(refused.value)) == (field, message)
    assert rows() == (0, 0, 0, 0)


def test_an_owner_may_come_without_a_public_key() -> None:
    register(owner={"address": "0x" + "aB" * 20})

    assert HealthData.objects.get().owner == {"address": "0x" + "aB" * 20}


def test_an_oversized_payload_is_refused_and_its_size_named() -> None:
    with settings_of(ingest_max_payload_bytes=10), pytest.raises(TooLargeError) as refused:
        register(payload=b"x" * 11)

    assert str(refused.value) == "payload has 11 bytes; the limit is 10 bytes"
    assert rows() == (0, 0, 0, 0)


def test_a_payload_of_the_limit_comes_in() -> None:
    with settings_of(ingest_max_payload_bytes=10):
        assert register(payload=b"x" * 10).created


# --- batches


def test_each_record_of_a_batch_has_its_own_result_in_order() -> None:
    register(data_id="conflict", payload=b"other")
    news = [
        NewRecord(user_hash="u1", data_type="health", data_id="good", payload=b"1"),
        NewRecord(user_hash="a@b.example", data_type="health", data_id="bad", payload=b"1"),
        NewRecord(user_hash="u1", data_type="health", data_id="conflict", payload=b"1"),
        NewRecord(user_hash="u1", data_type="health", data_id="good", payload=b"1"),
        NewRecord(user_hash="u1", data_type="checkin", data_id="last", payload=b"1"),
    ]

    results = register_records(news)

    assert [type(r).__name__ for r in results] == [
        "Registered",
        "InvalidRecordError",
        "ConflictError",
        "Registered",
        "Registered",
    ]
    assert [r.created for r in results if isinstance(r, Registered)] == [True, False, True]
    assert rows() == (3, 2, 1, 6)


def test_an_empty_batch_is_nothing() -> None:
    assert register_records([]) == []


def test_nothing_of_the_content_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    register(payload=b'"PLANTED-MARKER"')

    assert "PLANTED-MARKER" not in str([vars(r) for r in caplog.records])


def test_the_same_batch_handed_in_at_once_makes_each_record_once() -> None:
    set_partner("akave")
    news = [NewRecord(user_hash="u1", data_type="health", data_id=str(n), payload=b"1") for n in range(10)]

    found = at_once(*[lambda: register_records(news)] * 4)

    assert {type(result) for results in found for result in results} == {Registered}
    assert rows() == (10, 10, 0, 20)
    first = [result.record.pk for result in found[0]]
    assert all([result.record.pk for result in results] == first for results in found)


def test_a_batch_costs_a_few_statements_however_many_there_are(django_assert_max_num_queries: Any) -> None:
    set_partner("akave")
    news = [NewRecord(user_hash="u1", data_type="health", data_id=str(n), payload=b"1") for n in range(100)]

    with django_assert_max_num_queries(15):
        register_records(news)

    assert rows() == (100, 100, 0, 200)


# --- tracking is off


def test_while_tracking_is_off_no_new_record_comes_in(settings: Any) -> None:
    settings.DATAUNION_TRACKING = False

    results = register_records([NewRecord(user_hash="u1", data_type="health", data_id=name) for name in ("a", "b")])

    assert [type(result) for result in results] == [TrackingOffError, TrackingOffError]
    assert str(results[0]).startswith("new records are not taken now (DATAUNION_TRACKING is off)")
    assert rows() == (0, 0, 0, 0)


def test_while_tracking_is_off_what_is_there_is_found_and_worked_on(settings: Any) -> None:
    record = register().record
    settings.DATAUNION_TRACKING = False

    again = register()

    assert (again.record.pk, again.created) == (record.pk, False)
    assert engine.push("akave") == 1
