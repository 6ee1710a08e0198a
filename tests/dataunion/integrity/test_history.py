"""Attempts without gaps, and the names by which a partner knows what we synced."""

from __future__ import annotations

import pytest

from dataunion import claims, reconcile
from dataunion.clock import db_now
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import Outcome
from dataunion.sync import engine
from partners.errors import TransientError
from tests.dataunion.work import ago, ahead, claim, done, hand_in, make_due, service, set_partner

pytestmark = pytest.mark.django_db(transaction=True)


def audit() -> Findings:
    DataUnion.objects.update(created_at=ago(600))
    return reconcile.audit_slice(db_now())


def synced_at_the_third() -> DataUnion:
    """Sync a record with akave after two failures; it has attempts 1 to 3 and one reference."""
    record = hand_in()
    service().plan("store", TransientError("busy"), TransientError("busy"))
    for _ in range(3):
        make_due(record)
        engine.push("akave")
    return DataUnion.objects.get()


def rows() -> list[tuple[int, str]]:
    return list(SyncAttempt.objects.filter(partner="akave").order_by("fence").values_list("number", "outcome"))


def test_a_whole_history_is_left_alone() -> None:
    synced_at_the_third()

    assert audit().repaired == {}
    assert rows() == [(1, "transient"), (2, "transient"), (3, "synced")]


@pytest.mark.parametrize("number", [2, 3])
def test_an_attempt_that_was_not_recorded_leaves_a_row_that_says_so(number: int) -> None:
    synced_at_the_third()
    SyncAttempt.objects.filter(number=number).delete()

    assert audit().repaired == {Kind.ATTEMPT: 1}

    lost = SyncAttempt.objects.get(number=number)
    assert (lost.outcome, lost.error_class, lost.trigger) == (Outcome.CRASHED, "lost", "audit")
    assert [n for n, _ in rows()] == [1, 2, 3]
    assert audit().repaired == {}


def test_attempts_that_were_pruned_stay_away() -> None:
    synced_at_the_third()
    SyncAttempt.objects.filter(number__lt=3).delete()
    assert audit().repaired == {}

    SyncAttempt.objects.all().delete()
    assert audit().repaired == {}


def test_an_attempt_that_is_being_published_is_left_to_whoever_does() -> None:
    record = hand_in()
    service().plan("store", TransientError("busy"))
    engine.push("akave")
    make_due(record)
    [job] = claim()
    assert claims._commit(job, done(), db_now(), ())
    DataUnion.objects.update(partners={**record.partners, "akave": {"attempts": 2, "fence": job.fence}})

    assert audit().repaired == {}


def test_references_that_were_not_recorded_are_made_again() -> None:
    record = synced_at_the_third()
    before = list(RemoteRef.objects.values_list("kind", "value"))
    RemoteRef.objects.all().delete()

    assert audit().repaired == {Kind.REFERENCE: 1}

    assert list(RemoteRef.objects.values_list("kind", "value")) == before
    assert RemoteRef.objects.get().record_id == record.pk


def test_what_somebody_else_synced_needs_no_references() -> None:
    record = hand_in()
    service().plan("store", TransientError("busy"))
    engine.push("akave")
    record.update_partner_sync("akave", True, retry_data={"id": "elsewhere"})

    assert audit().repaired == {}
    assert RemoteRef.objects.count() == 0


def test_references_that_cannot_be_made_again_are_let_be() -> None:
    record = synced_at_the_third()
    RemoteRef.objects.all().delete()
    entry = {"is_synced": True, "fence": record.entry("akave").fence, "attempts": 3}
    DataUnion.objects.update(partners={"akave": entry})
    SyncJob.objects.all().delete()

    assert audit().repaired == {}


def test_a_partner_that_is_misconfigured_stops_no_audit() -> None:
    synced_at_the_third()
    RemoteRef.objects.all().delete()
    set_partner(adapter="no.such.Adapter", version=99)
    set_partner(not_before=ahead(86400 * 365))

    assert audit().repaired == {Kind.FAR_TIME: 1}
