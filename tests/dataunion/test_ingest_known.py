"""Records that have a past elsewhere: what is known of each partner comes in with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dataunion import claims, reconcile, stats
from dataunion.clock import db_now
from dataunion.ingest import NewRecord, Registered, register_record, register_records
from dataunion.models import DataUnion, RemoteRef, SyncJob
from dataunion.state import Known, Status
from dataunion.sync import engine
from tests.dataunion.work import make_due, service

pytestmark = pytest.mark.django_db(transaction=True)
SYNCED = Known(
    status=Status.DONE, receipt={"key": "k", "url": "https://x/k"}, saved={"key": "k"}, refs=[("object_key", "k")]
)
FAILED = Known(status=Status.FAILED, error_message="The old service gave up.")
HALF_DONE = Known(error_message="timeout", saved={"fixed": {"iv": "00"}})


def register(akave: Known, vana: Known, **fields: Any) -> DataUnion:
    given = {"user_hash": "u1", "data_type": "health", "data_id": "a", "payload": b"{}"}
    return register_record(**given | fields, known={"akave": akave, "vana": vana}).record


def test_what_is_synced_gets_no_job_and_keeps_what_was_given_back() -> None:
    record = register(SYNCED, SYNCED)

    stored = DataUnion.objects.get()
    assert stored.partners["akave"] == {
        "is_synced": True,
        "error_message": None,
        "retry_data": stored.partners["akave"]["retry_data"],
        "fence": 0,
        "attempts": 0,
        "synced_at": None,
        "key": "k",
        "url": "https://x/k",
    }
    assert stored.retry_data("akave") == {"key": "k"}
    assert not SyncJob.objects.exists()
    assert set(RemoteRef.objects.values_list("record_id", "partner", "kind", "value")) == {
        (record.pk, name, "object_key", "k") for name in ("akave", "vana")
    }


def test_what_is_half_done_goes_on_with_what_is_saved() -> None:
    record = register(SYNCED, HALF_DONE)

    job = SyncJob.objects.get()
    assert (job.partner, job.status, job.fence, job.step) == ("vana", "pending", 1, "")
    assert job.due_at <= db_now()
    assert claims.open_saved(job) == {"fixed": {"iv": "00"}}
    assert record.partners["vana"]["error_message"] == job.error_message == job.cause == "timeout"
    assert record.partners["vana"]["retry_data"] is None


def test_what_failed_stays_failed_until_somebody_retries_it() -> None:
    record = register(SYNCED, FAILED)

    job = SyncJob.objects.get()
    assert (job.status, job.error_class, job.error_message) == ("failed", "reported", "The old service gave up.")
    assert DataUnion.find_failed_syncs("vana") == [record]
    claims.reopen(SyncJob.objects.all(), trigger="retry", priority=0, now=db_now())
    engine.push("vana")
    assert DataUnion.objects.get().entry("vana").is_synced
    assert service("vana").called("store") == 1


def test_it_is_counted_as_what_it_is() -> None:
    register(SYNCED, FAILED, data_id="a")
    register(SYNCED, HALF_DONE, data_id="b")
    stats.fold()
    register(Known(), Known(), data_id="c")

    totals = stats.read_totals().partners

    assert (totals["akave"].enrolled, totals["akave"].synced, totals["akave"].pending) == (3, 2, 1)
    assert (totals["vana"].synced, totals["vana"].failed, totals["vana"].pending) == (0, 1, 2)


def test_the_audit_finds_nothing_to_mend() -> None:
    past = datetime(2024, 3, 1, tzinfo=UTC)
    for data_id, vana in (("a", SYNCED), ("b", HALF_DONE), ("c", FAILED), ("d", Known())):
        assert register(SYNCED, vana, data_id=data_id, created_at=past).created_at == past

    assert reconcile.audit_everything(tell=lambda found: None).repaired.total() == 0


def test_word_from_outside_is_heard_after_it() -> None:
    record = register(SYNCED, FAILED)

    record.update_partner_sync("akave", False)
    record.update_partner_sync("vana", True)

    assert (record.entry("akave").fence, record.entry("vana").fence) == (2, 2)
    assert not record.entry("akave").is_synced
    assert record.entry("vana").is_synced
    assert record.retry_data("akave") == {"key": "k"}
    make_due(record)
    engine.push("akave")
    assert DataUnion.objects.get().entry("akave").is_synced


def test_names_that_a_killed_run_left_out_are_completed_and_nothing_else() -> None:
    record = register(SYNCED, FAILED)
    RemoteRef.objects.all().delete()
    before = DataUnion.objects.values().get()

    [again] = register_records(
        [NewRecord(user_hash="u1", data_type="health", data_id="a", known={"akave": SYNCED, "vana": SYNCED})]
    )

    assert isinstance(again, Registered)
    assert (again.created, DataUnion.objects.values().get()) == (False, before)
    assert list(RemoteRef.objects.values_list("record_id", "partner", "value")) == [(record.pk, "akave", "k")]


def test_what_is_known_of_a_partner_that_is_not_enrolled_is_passed_by() -> None:
    register_record(user_hash="u1", data_type="health", data_id="a", known={"filecoin": SYNCED})

    assert set(DataUnion.objects.get().partners) == {"akave", "vana"}
    assert not RemoteRef.objects.exists()
