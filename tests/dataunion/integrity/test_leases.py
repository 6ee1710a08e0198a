"""What nobody holds, or holds for too long: the audit finds it by lease and state, and leaves live work alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dataunion import claims, ledger, reconcile
from dataunion.clock import db_now
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import NEVER, DataUnion, Partner, Signer, SyncAttempt, SyncJob, TaskLease
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from dataunion.sync import engine, tick
from tests.dataunion.work import ahead, claim, done, expire, hand_in, job_of, make_job, row, service, set_partner

pytestmark = pytest.mark.django_db(transaction=True)


def audit(**options: Any) -> Findings:
    return reconcile.audit_slice(db_now(), **options)


def change(job: SyncJob, **columns: Any) -> SyncJob:
    SyncJob.objects.filter(pk=job.pk).update(**columns)
    return SyncJob.objects.get(pk=job.pk)


def test_running_work_is_left_alone() -> None:
    hand_in()
    [job] = claim()
    before = row(job)

    assert audit().repaired == {}
    assert row(job) == before


def test_a_dead_workers_job_is_taken_back_where_no_tick_did() -> None:
    hand_in()
    [job] = claim()
    expire(job)

    assert audit().repaired == {Kind.ABANDONED: 1}

    assert (job_of(job.record).status, SyncAttempt.objects.get().outcome) == (Status.PENDING, "crashed")


def test_an_outcome_that_nobody_holds_is_published() -> None:
    hand_in()
    [job] = claim()
    assert claims._commit(job, done(), db_now(), ())
    change(job, lease_until=NEVER)

    assert audit().repaired == {Kind.PUBLICATION: 1}

    assert SyncJob.objects.filter(partner="akave").count() == 0
    assert DataUnion.objects.get().entry("akave").is_synced


@pytest.mark.parametrize("token", ["", "somebody"])
def test_a_running_job_without_a_lease_is_put_back(token: str) -> None:
    record = hand_in()
    [job] = claim()
    change(job, lease_until=NEVER, lease_token=token)

    assert audit().repaired == {Kind.NO_LEASE: 1}

    assert (job_of(record).status, job_of(record).lease_token) == (Status.PENDING, "")
    assert claims.renew([job], db_now()) == set()
    assert engine.push("akave") == 1
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_running_job_without_a_token_is_taken_back_when_its_lease_ends() -> None:
    record = hand_in()
    [job] = claim()
    change(job, lease_token="")
    expire(job)

    assert len(claims.rescue(db_now())) == 1
    assert job_of(record).status == Status.PENDING


def test_a_done_job_without_an_outcome_goes_on_from_its_step() -> None:
    record = hand_in()
    [job] = claim()
    saved = claims.seal_saved(record.pk, "akave", {"secret": "s", "id": "x"})
    change(job, status=Status.DONE, lease_until=NEVER, lease_token="", step="finished", saved=saved)

    assert audit().repaired == {Kind.NO_OUTCOME: 1}
    engine.push("akave")

    assert DataUnion.objects.get().entry("akave").receipt["id"] == "x"
    assert service().called("store") == 0


def test_a_done_job_of_a_synced_entry_is_deleted_and_not_done_again() -> None:
    hand_in()
    [job] = claim()
    change(job, status=Status.DONE, lease_until=NEVER, lease_token="")
    DataUnion.objects.update(partners=MergeEntry("akave", {"is_synced": True, "fence": job.fence}))

    assert audit().repaired == {Kind.FINAL_JOB: 1}
    assert SyncJob.objects.filter(partner="akave").count() == 0


# --- clocks that ran ahead


def test_a_lease_longer_than_any_lasts_ends() -> None:
    record = hand_in()
    [job] = claim()
    change(job, lease_until=ahead(86400 * 365))

    audit()

    assert job_of(record).status == Status.PENDING


def test_a_signers_gates_and_tasks_lease_longer_than_any_lasts_ends() -> None:
    far = ahead(86400 * 365)
    set_partner(gate_until=far, gate_token="dead")
    Signer.objects.create(chain_id=1, address="0x1", lease_token="dead", lease_until=far)
    TaskLease.objects.create(name="tick", token="dead", until=far)

    assert audit().repaired == {Kind.LONG_LEASE: 3}

    assert Partner.objects.get(name="akave").gate_until == NEVER
    assert ledger.take_signer(chain_id=1, address="0x1", max_unmined=1)
    with tick.hold("tick", 60) as now:
        assert now is not None


@pytest.mark.parametrize("status", ["pending", "retrying", "blocked"])
def test_work_that_would_wait_for_years_is_due_now(status: str) -> None:
    job = make_job(status=status, due_at=ahead(86400 * 365))

    assert audit().repaired == {Kind.FAR_TIME: 1}
    assert SyncJob.objects.get(pk=job.pk).due_at <= db_now()


def test_peace_that_nobody_may_ask_for_ends() -> None:
    set_partner(not_before=ahead(86400 * 365))

    assert audit().repaired == {Kind.FAR_TIME: 1}
    assert Partner.objects.get(name="akave").not_before == NEVER


def test_times_that_may_be_are_left_alone() -> None:
    set_partner(not_before=ahead(3600), gate_until=ahead(5), gate_token="t", backoff_cap_s=86400.0 * 3)
    make_job(due_at=ahead(86400 * 2))
    Signer.objects.create(chain_id=1, address="0x1", lease_token="t", lease_until=ahead(45))

    with tick.hold("upkeep", 300):
        assert audit().repaired == {}


def test_a_dry_run_writes_nothing() -> None:
    hand_in()
    [job] = claim()
    change(job, lease_until=NEVER)
    set_partner(not_before=ahead(86400 * 365))
    before = row(job)

    assert audit(dry=True).repaired == {Kind.NO_LEASE: 1, Kind.FAR_TIME: 1}

    assert row(job) == before
    assert Partner.objects.get(name="akave").not_before > db_now() + timedelta(days=1)
