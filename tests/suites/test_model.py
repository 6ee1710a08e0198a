"""The old service's model suite: schema, partner updates, queries, integrity, edge cases, indexes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from dataunion.ingest import ConflictError, InvalidRecordError, register_record
from dataunion.models import NEVER, CheckIn, DataUnion, HealthData, SyncJob
from dataunion.sync import engine
from tests.factories import CheckInFactory, DataUnionFactory, HealthDataFactory, SyncJobFactory, hours_ago, synced_entry

pytestmark = pytest.mark.django_db


def create(**changes: str) -> DataUnion:
    return DataUnion.create_data_union(**{"user_hash": "user-1", "data_type": "health", "data_id": "id-1", **changes})


def fresh(record: DataUnion) -> DataUnion:
    return DataUnion.objects.get(pk=record.pk)


# --- schema ----------------------------------------------------------------------------------------------------------


def test_a_new_record_has_the_old_services_fields() -> None:
    record = fresh(create())

    assert (record.schema_version, record.user_hash, record.data_type, record.data_id) == (
        "v1",
        "user-1",
        "health",
        "id-1",
    )
    assert record.created_at == record.updated_at
    assert record.created_at.utcoffset() == datetime.now(UTC).utcoffset()
    nothing = {"is_synced": False, "error_message": None, "retry_data": None}
    assert set(record.partners) == {"akave", "vana"}
    assert all(nothing.items() <= entry.items() for entry in record.partners.values())


def test_keys_are_uuids_in_order_of_time() -> None:
    keys = [create(data_id=f"id-{n}").pk for n in range(20)]

    assert keys == sorted(keys)
    assert {(key.version, type(key)) for key in keys} == {(7, UUID)}


def test_create_returns_the_record_that_exists() -> None:
    first = create()

    assert create().pk == first.pk
    assert DataUnion.objects.count() == 1
    assert SyncJob.objects.count() == 2


@pytest.mark.parametrize("data_type", ["health", "checkin"])
def test_both_data_types_are_taken(data_type: str) -> None:
    assert create(data_type=data_type).data_type == data_type


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_hash": ""}, "user_hash"),
        ({"user_hash": "has space"}, "user_hash"),
        ({"user_hash": "zoë"}, "user_hash"),
        ({"user_hash": "x" * 129}, "user_hash"),
        ({"user_hash": "somebody@example.org"}, "user_hash"),
        ({"data_type": "sleep"}, "data_type"),
        ({"data_id": ""}, "data_id"),
        ({"data_id": "x" * 513}, "data_id"),
        ({"data_id": "a\x00b"}, "data_id"),
    ],
)
def test_a_wrong_field_is_refused_by_name(changes: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        create(**changes)

    assert caught.value.field == field
    assert not DataUnion.objects.exists()
    assert not SyncJob.objects.exists()


# --- partner updates -------------------------------------------------------------------------------------------------


def test_a_success_ends_the_partners_work_only() -> None:
    record = create()

    record.update_partner_sync("akave", True)

    entry = fresh(record).partners["akave"]
    assert (entry["is_synced"], entry["error_message"]) == (True, None)
    assert fresh(record).partners["vana"]["is_synced"] is False
    assert list(SyncJob.objects.values_list("partner", flat=True)) == ["vana"]


def test_a_failure_is_told_and_leaves_failed_work() -> None:
    record = create()

    record.update_partner_sync("vana", False, error_message="gas too low")

    assert fresh(record).partners["vana"]["error_message"] == "gas too low"
    job = SyncJob.objects.get(partner="vana")
    assert (job.status, job.error_message) == ("failed", "gas too low")
    assert SyncJob.objects.get(partner="akave").status == "pending"


def test_a_failure_of_one_partner_keeps_anothers_success() -> None:
    record = create()
    record.update_partner_sync("akave", True, retry_data={"key": "abc"})
    before = fresh(record).partners["akave"]

    record.update_partner_sync("vana", False, error_message="no")

    assert fresh(record).partners["akave"] == before


def test_a_success_clears_the_error() -> None:
    record = create()
    record.update_partner_sync("vana", False, error_message="gas too low")

    record.update_partner_sync("vana", True)

    entry = fresh(record).partners["vana"]
    assert (entry["is_synced"], entry["error_message"]) == (True, None)


def test_unsynced_without_an_error_makes_the_work_due() -> None:
    record = DataUnionFactory()

    record.update_partner_sync("akave", False)

    job = SyncJob.objects.get()
    assert (job.partner, job.status, job.lease_until) == ("akave", "pending", NEVER)
    assert fresh(record).partners["akave"]["is_synced"] is False


def test_the_object_that_was_updated_shows_the_update() -> None:
    record = create()

    record.update_partner_sync("akave", True)

    assert record.partners["akave"]["is_synced"] is True


def test_an_update_changes_updated_at() -> None:
    record = DataUnionFactory(updated_at=hours_ago(1))

    record.update_partner_sync("akave", False, error_message="x")

    assert fresh(record).updated_at > hours_ago(0.5)


def test_retry_data_is_kept_by_none_and_replaced_by_a_mapping() -> None:
    record = create()
    record.update_partner_sync("akave", False, "first", {"key": "abc", "tries": 1})

    record.update_partner_sync("akave", False, "second", None)
    kept = fresh(record).retry_data("akave")
    record.update_partner_sync("akave", False, "third", {"key": "def"})

    assert kept == {"key": "abc", "tries": 1}
    assert fresh(record).retry_data("akave") == {"key": "def"}


def test_retry_data_stays_through_success_and_back() -> None:
    record = create()
    record.update_partner_sync("akave", False, "x", {"key": "abc"})

    record.update_partner_sync("akave", True)
    synced = fresh(record).retry_data("akave")
    record.update_partner_sync("akave", False, "lost")

    assert synced == {"key": "abc"}
    assert fresh(record).retry_data("akave") == {"key": "abc"}


def test_empty_retry_data_replaces_what_is_stored() -> None:
    record = create()
    record.update_partner_sync("akave", False, "x", {"key": "abc"})

    record.update_partner_sync("akave", False, "y", {})

    assert fresh(record).retry_data("akave") == {}


def test_retry_data_is_not_stored_in_clear() -> None:
    record = create()

    record.update_partner_sync("akave", True, retry_data={"note": "planted-in-clear"})

    assert fresh(record).retry_data("akave") == {"note": "planted-in-clear"}
    assert "planted-in-clear" not in json.dumps(fresh(record).partners)


# --- queries ---------------------------------------------------------------------------------------------------------


def test_a_record_is_found_by_its_reference() -> None:
    record = DataUnionFactory(user_hash="u", data_type="checkin", data_id="d")
    DataUnionFactory(user_hash="u", data_type="health", data_id="d")
    DataUnionFactory(user_hash="u2", data_type="checkin", data_id="d")

    assert DataUnion.find_by_data_reference("u", "checkin", "d") == record


def test_an_unknown_reference_finds_none() -> None:
    DataUnionFactory(user_hash="u", data_type="health", data_id="d")

    assert DataUnion.find_by_data_reference("u", "health", "D") is None
    assert DataUnion.find_by_data_reference("u", "checkin", "d") is None


def test_failed_syncs_come_newest_change_first() -> None:
    jobs = [SyncJobFactory(changed_at=hours_ago(hours)) for hours in (3, 1, 2)]

    found = DataUnion.find_failed_syncs("vana")

    assert found == [jobs[1].record, jobs[2].record, jobs[0].record]


def test_failed_syncs_are_retrying_failed_and_blocked_ones_of_that_partner() -> None:
    wanted = {SyncJobFactory(status=status).record_id for status in ("retrying", "failed", "blocked")}
    for other in ({"status": "pending"}, {"status": "running"}, {"status": "failed", "partner": "akave"}):
        SyncJobFactory(**other)
    DataUnionFactory()

    assert {record.pk for record in DataUnion.find_failed_syncs("vana")} == wanted


def test_failed_syncs_keep_to_a_data_type() -> None:
    SyncJobFactory()
    checkin = SyncJobFactory(record=DataUnionFactory(data_type="checkin"))

    assert DataUnion.find_failed_syncs("vana", "checkin") == [checkin.record]
    assert DataUnion.find_failed_syncs("vana", data_type="checkin") == [checkin.record]


def test_nothing_failed_finds_an_empty_list() -> None:
    DataUnionFactory()

    assert DataUnion.find_failed_syncs("vana") == []
    assert DataUnion.find_failed_syncs("unheard-of") == []


# --- integrity -------------------------------------------------------------------------------------------------------


def test_a_reference_is_unique_in_the_database() -> None:
    DataUnionFactory(user_hash="u", data_type="health", data_id="d")

    with pytest.raises(IntegrityError), transaction.atomic():
        DataUnionFactory(user_hash="u", data_type="health", data_id="d")

    assert DataUnion.objects.count() == 1


def test_there_is_one_job_for_a_record_and_partner() -> None:
    job = SyncJobFactory()

    with pytest.raises(IntegrityError), transaction.atomic():
        SyncJobFactory(record=job.record)

    assert SyncJob.objects.count() == 1


def test_other_content_under_the_same_reference_is_refused() -> None:
    reference = {"user_hash": "u", "data_type": "health", "data_id": "d"}
    record = register_record(**reference, payload=b"1").record

    with pytest.raises(ConflictError):
        register_record(**reference, payload=b"2")

    assert HealthData.objects.get().pk == record.pk
    assert register_record(**reference, payload=b"1").created is False


def test_data_stands_under_its_records_key() -> None:
    health, checkin = HealthDataFactory(), CheckInFactory()

    assert DataUnion.objects.get(pk=health.pk).data_type == "health"
    assert DataUnion.objects.get(pk=checkin.pk).data_type == "checkin"
    assert b"steps" not in bytes(HealthData.objects.get().payload)
    assert b"mood" not in bytes(CheckIn.objects.get().payload)


def at_once(*acts: Callable[[], Any]) -> list[BaseException]:
    """Do all at the same moment, a thread each; return what was raised."""
    start, raised = threading.Barrier(len(acts)), []

    def run(act: Callable[[], Any]) -> None:
        try:
            start.wait(10)
            act()
        except BaseException as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


@pytest.mark.django_db(transaction=True)
def test_two_partners_updates_at_once_lose_nothing() -> None:
    record = create()
    one, other = fresh(record), fresh(record)

    def update(row: DataUnion, partner: str) -> None:
        for number in range(5):
            row.update_partner_sync(partner, False, f"error {number}", {"number": number})
        row.update_partner_sync(partner, True)

    raised = at_once(lambda: update(one, "akave"), lambda: update(other, "vana"))

    assert raised == []
    for partner in ("akave", "vana"):
        entry = fresh(record).entry(partner)
        assert (entry.is_synced, entry.error_message, fresh(record).retry_data(partner)) == (True, None, {"number": 4})
    assert not SyncJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_updates_of_one_partner_at_once_leave_one_of_them_whole() -> None:
    record = create()
    one, other = fresh(record), fresh(record)

    raised = at_once(
        lambda: one.update_partner_sync("vana", False, "ours", {"by": "ours"}),
        lambda: other.update_partner_sync("vana", False, "theirs", {"by": "theirs"}),
    )

    assert raised == []
    job, entry = SyncJob.objects.get(partner="vana"), fresh(record).entry("vana")
    assert entry.error_message == job.error_message == fresh(record).retry_data("vana")["by"]
    assert (entry.fence, job.fence, job.status) == (3, 3, "failed")


@pytest.mark.django_db(transaction=True)
def test_a_record_handed_in_twice_at_once_is_one_record() -> None:
    fields = {"user_hash": "u", "data_type": "health", "data_id": "d", "payload": b"{}"}

    raised = at_once(*[lambda: register_record(**fields)] * 4)

    assert raised == []
    assert (DataUnion.objects.count(), HealthData.objects.count(), SyncJob.objects.count()) == (1, 1, 2)


@pytest.mark.django_db(transaction=True)
def test_an_update_while_a_worker_is_at_it_wins_over_the_worker() -> None:
    record = register_record(user_hash="u", data_type="health", data_id="d", payload=b"{}").record

    raised = at_once(lambda: engine.push("akave"), lambda: fresh(record).update_partner_sync("akave", True))

    assert raised == []
    assert fresh(record).entry("akave").is_synced is True
    assert not SyncJob.objects.filter(partner="akave").exists()


# --- edge cases ------------------------------------------------------------------------------------------------------


def test_an_unknown_partner_is_named() -> None:
    record = create()

    with pytest.raises(ValueError) as caught:
        record.update_partner_sync("filecoin", True)

    assert str(caught.value) == "Partner filecoin not found"
    assert set(fresh(record).partners) == {"akave", "vana"}
    assert SyncJob.objects.count() == 2


def test_the_longest_ids_are_kept_whole() -> None:
    record = create(user_hash="u" * 128, data_id="d" * 512)

    assert DataUnion.find_by_data_reference("u" * 128, "health", "d" * 512) == record
    assert (len(fresh(record).user_hash), len(fresh(record).data_id)) == (128, 512)


@pytest.mark.parametrize("data_id", ["ünï/cödé — 心拍.json", "🫀", "a b\tc", "$where", "a.b.c", "'; DROP TABLE x; --"])
def test_any_text_is_a_data_id(data_id: str) -> None:
    record = create(data_id=data_id)

    assert DataUnion.find_by_data_reference("user-1", "health", data_id) == record


@pytest.mark.parametrize("message", ["$partners", "Größe 心拍 🫀", 'a "quoted" \\ text\nin lines', "x" * 5000])
def test_any_text_is_an_error_message(message: str) -> None:
    record = create()

    record.update_partner_sync("vana", False, error_message=message)

    assert fresh(record).partners["vana"]["error_message"] == message


def test_retry_data_may_hold_any_json() -> None:
    data = {"$set": {"a.b": [1, None, True, "心"]}, "": {}, "deep": [[[{"x": 1.5}]]], "big": 2**80}
    record = create()

    record.update_partner_sync("akave", False, "x", data)

    assert fresh(record).retry_data("akave") == data


def test_retry_data_that_is_no_mapping_is_refused() -> None:
    record = create()

    with pytest.raises(TypeError, match="retry_data should be a mapping or None"):
        record.update_partner_sync("akave", False, "x", [1])  # type: ignore[arg-type]

    assert SyncJob.objects.get(partner="akave").status == "pending"


def test_what_a_partner_gave_back_stays_when_it_is_reported_lost() -> None:
    record = DataUnionFactory(partners={"akave": synced_entry("akave"), "vana": synced_entry("vana")})

    record.update_partner_sync("akave", False, "lost")

    assert fresh(record).partners["akave"]["url"] == "https://akave.example/object"


# --- indexes ---------------------------------------------------------------------------------------------------------

INDEXES = {
    ("dataunions", ("user_hash", "data_type", "data_id")),
    ("dataunions", ("created_at",)),
    ("dataunions", ("data_type", "created_at")),
    ("syncjobs", ("partner", "status", "priority", "due_at")),
    ("syncjobs", ("partner", "data_type", "changed_at")),
    ("syncjobs", ("lease_until",)),
    ("syncjobs", ("user_hash",)),
    ("syncjobs", ("record", "partner")),
    ("syncattempts", ("record", "partner", "fence")),
    ("syncattempts", ("created_at",)),
    ("remoterefs", ("value",)),
    ("chaintxs", ("chain_id", "signer", "nonce")),
    ("chaintxs", ("record", "partner", "step", "generation")),
    ("apikeys", ("prefix",)),
}
UNIQUE = {
    ("dataunions", ("user_hash", "data_type", "data_id")),
    ("syncjobs", ("record", "partner")),
    ("syncattempts", ("record", "partner", "fence")),
    ("chaintxs", ("chain_id", "signer", "nonce")),
    ("chaintxs", ("record", "partner", "step", "generation")),
    ("remoterefs", ("record", "partner", "kind", "value")),
}


def read_constraints(table: str) -> list[tuple[tuple[str, ...], bool]]:
    """Return (columns, is unique) of every index that the database has on a table."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table).values()
    return [(tuple(c["columns"]), c["unique"]) for c in found if c["index"] or c["unique"]]


def columns(model: Any, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(model._meta.get_field(field).column for field in fields)


def model_of(table: str) -> Any:
    return next(model for model in apps.get_app_config("dataunion").get_models() if model._meta.db_table == table)


@pytest.mark.parametrize(("table", "fields"), sorted(INDEXES))
def test_what_is_looked_up_has_a_plain_index(table: str, fields: tuple[str, ...]) -> None:
    assert (columns(model_of(table), fields), False) in read_constraints(table)


@pytest.mark.parametrize(("table", "fields"), sorted(UNIQUE))
def test_what_must_be_unique_is_so_in_the_database(table: str, fields: tuple[str, ...]) -> None:
    assert (columns(model_of(table), fields), True) in read_constraints(table)


def test_every_declared_index_is_there() -> None:
    for model in apps.get_app_config("dataunion").get_models():
        declared = {columns(model, tuple(index.fields)) for index in model._meta.indexes}
        there = {found for found, unique in read_constraints(model._meta.db_table) if not unique}
        assert declared <= there, model
