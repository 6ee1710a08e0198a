"""Record against job, beyond what test_reconcile tells: fences, entries that are missing, names that are gone."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion import claims, reconcile, vault
from dataunion.clock import db_now
from dataunion.integrity import jobs
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import NEVER, DataUnion, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from dataunion.sync import engine
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import ago, at_once, expire, hand_in, job_of, set_partner
from tests.factories import SYNCED_AT

pytestmark = pytest.mark.django_db(transaction=True)


def audit(**options: Any) -> Findings:
    DataUnion.objects.update(created_at=ago(600))
    return reconcile.audit_slice(db_now(), **options)


def set_entry(partner: str = "akave", **changes: Any) -> None:
    DataUnion.objects.update(partners=MergeEntry(partner, changes))


def entry(partner: str = "akave") -> Any:
    return DataUnion.objects.get().entry(partner)


# --- fences


def test_a_job_behind_its_entry_may_speak_again() -> None:
    record = hand_in()
    set_entry(fence=9)

    assert audit().repaired == {Kind.JOB_BEHIND: 1}

    assert job_of(record).fence == 9
    engine.push("akave")
    assert (entry().is_synced, entry().fence) == (True, 10)


def test_a_job_that_takes_a_record_back_is_no_job_of_a_finished_entry() -> None:
    hand_in()
    engine.push("akave")
    fence = entry().fence
    SyncJob.objects.filter(partner="vana").update(partner="akave", kind="revoke", fence=fence + 1)
    DataUnion.objects.update(partners={"akave": DataUnion.objects.get().partners["akave"]})

    assert audit().repaired == {}


# --- a job that is being made


def held_by_nobody(**changes: Any) -> SyncJob:
    """Leave what an audit leaves that died after it made akave's job."""
    record = hand_in()
    job = job_of(record)
    set_entry(fence=3)
    SyncJob.objects.filter(pk=job.pk).update(**{"fence": 4, "lease_until": ago(1), **changes})
    return job_of(record)


def test_a_job_that_an_audit_died_over_is_let_go() -> None:
    held_by_nobody()

    assert audit().repaired == {Kind.HELD: 1}

    assert (SyncJob.objects.get(partner="akave").lease_until, entry().fence) == (NEVER, 4)
    assert engine.push("akave") == 1


def test_a_job_that_an_audit_died_over_after_its_entry_knew_is_let_go() -> None:
    held_by_nobody()
    set_entry(fence=4)

    assert audit().repaired == {Kind.HELD: 1}
    assert (SyncJob.objects.get(partner="akave").lease_until, entry().fence) == (NEVER, 4)


def test_a_job_that_an_audit_died_over_goes_where_the_record_was_synced_since() -> None:
    held_by_nobody()
    set_entry(fence=4, is_synced=True)

    assert audit().repaired == {Kind.HELD: 1}
    assert SyncJob.objects.filter(partner="akave").count() == 0


@pytest.mark.parametrize("final", [{"is_synced": True}, {"withdrawn_at": SYNCED_AT}])
def test_a_job_that_a_report_died_over_goes_and_the_entry_stays(final: dict[str, Any]) -> None:
    held_by_nobody()
    set_entry(fence=3, **final)
    before = entry()

    assert audit().repaired == {Kind.HELD: 1}
    assert (SyncJob.objects.filter(partner="akave").count(), entry()) == (0, before)


def test_a_job_that_is_being_made_is_claimed_by_nobody() -> None:
    held_by_nobody(lease_until=db_now())

    assert claims.claim("akave", limit=5) == []


def test_a_report_that_comes_while_a_job_is_made_wins() -> None:
    record = hand_in()
    SyncJob.objects.filter(partner="akave").delete()
    read_before = DataUnion.objects.get()
    record.update_partner_sync("akave", True)

    assert not jobs.make_job(read_before, "akave", read_before.entry("akave"), db_now())

    assert SyncJob.objects.filter(partner="akave").count() == 0
    assert entry().is_synced


def test_audits_and_reports_at_once_leave_one_truth() -> None:
    record = hand_in()
    SyncJob.objects.filter(partner="akave").delete()
    DataUnion.objects.update(created_at=ago(600))

    results = at_once(
        *[lambda: reconcile.audit_records(list(DataUnion.objects.all()), db_now()) for _ in range(3)],
        lambda: record.update_partner_sync("akave", True),
    )

    assert [r for r in results if isinstance(r, Exception)] == []
    assert entry().is_synced
    assert SyncJob.objects.filter(partner="akave").count() == 0


# --- entries


def test_a_partner_whose_entry_is_missing_is_entered_again() -> None:
    record = hand_in()
    left = {name: value for name, value in record.partners.items() if name != "akave"}
    DataUnion.objects.update(partners=left)

    assert audit().repaired[Kind.MISSING_ENTRY] == 1

    engine.push("akave")
    assert entry().is_synced
    assert not entry("vana").is_synced


def test_an_outcome_without_an_entry_keeps_no_others_from_being_published() -> None:
    hand_in("a", user_hash="u1")
    hand_in("b", user_hash="u2")
    claimed = claims.claim("akave", limit=5)
    DataUnion.objects.filter(data_id="a").update(partners={})
    expire(*claimed)

    assert len(claims.rescue(db_now())) == 2


# --- names that are gone


def conflict(settings: Any) -> DataUnion:
    """Leave what a renaming leaves that died between its two writes: the name is new, the conflict about the old."""
    settings.PARTNERS = partners_of(second="NeedsAkave")
    record = hand_in()
    job = SyncJob.objects.filter(partner="second")
    job.update(
        status=Status.FAILED,
        error_class="conflict",
        changed_at=ago(1000),
        saved=claims.seal_saved(record.pk, "second", {"of": "the old name"}),
    )
    engine.push("akave")
    set_entry(synced_at=ago(500).isoformat())
    return record


def test_a_conflict_over_a_name_that_is_gone_is_begun_anew(settings: Any) -> None:
    record = conflict(settings)

    assert audit().repaired == {Kind.OLD_CONFLICT: 1}

    assert job_of(record, "second").status == Status.PENDING
    assert claims.open_saved(job_of(record, "second")) == {}
    assert audit().repaired == {}


def test_a_conflict_over_the_present_name_stays(settings: Any) -> None:
    record = conflict(settings)
    SyncJob.objects.filter(partner="second").update(changed_at=ago(400))

    assert audit().repaired == {}
    assert job_of(record, "second").status == Status.FAILED


# --- in all


def test_a_dry_run_tells_and_writes_nothing() -> None:
    hand_in()
    SyncJob.objects.filter(partner="akave").delete()

    assert audit(dry=True).repaired == {Kind.MISSING_JOB: 1}
    assert SyncJob.objects.filter(partner="akave").count() == 0


def test_a_repair_that_fails_keeps_no_other_from_being_done() -> None:
    record = hand_in()
    set_entry(retry_data="no base64 at all!", fence=2)
    set_entry("vana", retry_data=vault.to_text(claims.seal_saved(record.pk, "vana", {"s": 1})), fence=2)
    SyncJob.objects.all().delete()

    found = audit()

    assert (found.repaired, found.failed) == ({Kind.MISSING_JOB: 1}, {Kind.MISSING_JOB: 1})
    assert claims.open_saved(job_of(record, "vana")) == {"s": 1}


def test_a_paused_partner_needs_no_repair() -> None:
    hand_in()
    set_partner(state="paused")

    assert audit().repaired == {}
