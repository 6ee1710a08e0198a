"""The audit: it mends what no move leaves behind, leaves everything else, and never makes synced work again."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion import claims, reconcile, vault
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from dataunion.sync import engine
from partners.errors import TransientError
from partners.testing import FakePartner
from tests.dataunion.work import ago, done, expire, hand_in, job_of, make_due

pytestmark = pytest.mark.django_db(transaction=True)


def audit() -> int:
    DataUnion.objects.update(created_at=ago(600))
    return reconcile.audit(db_now())


def set_entry(**changes: Any) -> None:
    DataUnion.objects.update(partners=MergeEntry("akave", changes))


def everything() -> tuple[list[Any], list[Any]]:
    return list(DataUnion.objects.values("partners")), list(SyncJob.objects.order_by("pk").values())


def test_what_the_moves_leave_behind_needs_no_repair() -> None:
    for name in "abc":
        hand_in(name)
    FakePartner.service("akave").plan("store", TransientError("busy"))
    engine.push("akave")
    claims.claim("vana", limit=1)
    before = everything()

    assert audit() == 0
    assert everything() == before


def test_a_missing_job_is_made_again_and_goes_on_with_what_was_saved() -> None:
    record = hand_in()
    sealed = claims.seal_saved(record.pk, "akave", {"secret": "s"})
    set_entry(fence=4, attempts=3, retry_data=vault.to_text(sealed))
    SyncJob.objects.filter(partner="akave").delete()

    assert audit() == 1

    job = job_of(record)
    assert (job.status, job.fence, job.runs, job.trigger) == (Status.PENDING, 5, 3, "audit")
    assert claims.open_saved(job) == {"secret": "s"}
    make_due(record)
    assert engine.push("akave") == 1
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_record_that_was_synced_after_it_was_read_gets_no_job() -> None:
    hand_in()
    DataUnion.objects.update(created_at=ago(600))  # a young one would be passed over
    read_before = list(DataUnion.objects.all())
    engine.push("akave")
    engine.push("vana")

    assert reconcile.audit_records(read_before, db_now()) == 0

    assert SyncJob.objects.count() == 0
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_withdrawn_record_gets_no_job() -> None:
    hand_in()
    set_entry(withdrawn_at="2026-01-01T00:00:00+00:00")
    SyncJob.objects.filter(partner="akave").delete()

    assert audit() == 0


def test_a_job_of_a_synced_entry_is_deleted() -> None:
    hand_in()
    set_entry(is_synced=True, fence=9)

    assert audit() == 1

    assert SyncJob.objects.filter(partner="akave").count() == 0
    assert DataUnion.objects.get().entry("akave").is_synced


def test_an_entry_that_lags_behind_its_job_follows_it() -> None:
    record = hand_in()
    SyncJob.objects.filter(record=record, partner="akave").update(fence=7, error_message="broken")
    set_entry(is_synced=True, fence=3)

    assert audit() == 1

    entry = DataUnion.objects.get().entry("akave")
    assert (entry.is_synced, entry.fence, entry.error_message) == (False, 7, "broken")


def test_an_entry_that_changed_since_it_was_read_is_left_alone() -> None:
    hand_in()
    set_entry(is_synced=True, fence=0)
    read_before = list(DataUnion.objects.all())
    set_entry(is_synced=True, fence=1)
    before = DataUnion.objects.get().partners

    assert reconcile.audit_records(read_before, db_now()) == 0
    assert DataUnion.objects.get().partners == before


def test_a_publication_that_nobody_finished_is_finished() -> None:
    hand_in()
    [job] = claims.claim("akave", limit=1)
    assert claims._commit(job, done(), db_now(), {})
    assert audit() == 0  # whoever committed it may still be at it
    expire(job)

    assert audit() == 1

    assert SyncJob.objects.filter(partner="akave").count() == 0
    assert DataUnion.objects.get().entry("akave").is_synced


def test_young_records_are_left_alone() -> None:
    hand_in()
    SyncJob.objects.all().delete()

    assert reconcile.audit(db_now()) == 0
    assert SyncJob.objects.count() == 0


def test_an_entry_of_a_partner_that_is_gone_is_left_alone() -> None:
    hand_in()
    DataUnion.objects.update(partners=MergeEntry("gone", {"is_synced": False, "fence": 1}))

    assert audit() == 0


def test_an_audit_looks_at_a_bounded_number() -> None:
    for name in "abc":
        hand_in(name)
    SyncJob.objects.all().delete()
    DataUnion.objects.update(created_at=ago(600))

    assert reconcile.audit(db_now(), limit=1) == 2
