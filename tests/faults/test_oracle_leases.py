"""The oracle's record of every write: the system's own moves pass, and what no move may do is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from dataunion import claims, gate, ingest, ledger
from dataunion.clock import db_now
from dataunion.models import DataUnion, Partner, Signer, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from dataunion.sync import engine
from dataunion.sync.tick import tick
from partners.errors import BlockedError, NotReady, PermanentError, TransientError, UnknownOutcome
from partners.testing import FakePartner
from tests.dataunion.work import attempt, done
from tests.faults.elapse import elapse
from tests.faults.oracle import Chronicle, Evidence, find_violations


@pytest.fixture
def chronicle(database: str) -> Iterator[Chronicle]:
    with Chronicle() as running:
        yield running


@pytest.fixture
def record(chronicle: Chronicle) -> DataUnion:
    return ingest.register_record(user_hash="user-1", data_type="health", data_id="one", payload=b"{}").record


def claim() -> SyncJob:
    [job] = claims.claim("akave", limit=1)
    return job


def write(job: SyncJob, **changes: Any) -> None:
    """Write into the row as no move would."""
    SyncJob.objects.filter(pk=job.pk).update(**changes)


def found(chronicle: Chronicle) -> list[str]:
    told = find_violations(Evidence(chronicle=chronicle, at_rest=False, patience_s=0))
    return [violation.what.partition(": ")[2] for violation in told if violation.invariant == "I4"]


def test_every_move_of_the_system_is_legal(chronicle: Chronicle, record: DataUnion) -> None:
    errors = [
        TransientError("akave: store: HTTP 503", http_status=503),
        UnknownOutcome("akave: store: no answer", after_s=1),
        NotReady("akave: store: too early", after_s=1),
        BlockedError("akave: store: no consent"),
        PermanentError("akave: store: refused", http_status=400),
    ]
    FakePartner.service("akave").plan("store", *errors)
    for _ in errors:
        engine.push("akave")
        elapse(1000)
        tick()
    record.update_partner_sync("akave", False, "seen elsewhere", {"id": "x"})
    claims.reopen(SyncJob.objects.all(), trigger="staff", priority=0, now=db_now())
    job = claim()
    elapse(100)
    tick()
    claims.settle([(job, done())], db_now())  # a stale worker, refused
    engine.push("akave")
    record.update_partner_sync("akave", False)
    engine.push("akave")
    record.update_partner_sync("vana", True)

    assert found(chronicle) == []
    assert not SyncJob.objects.exists()
    assert {change.table for change in chronicle.changes()} >= {"syncjobs", "dataunions", "partners", "taskleases"}


def test_two_claims_at_once_are_legal_when_one_is_refused(chronicle: Chronicle, record: DataUnion) -> None:
    claim()

    assert claims.claim("akave", limit=1) == []
    assert found(chronicle) == []


def test_a_claim_over_a_live_lease_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    write(claim(), lease_token="another", fence=F("fence") + 1)

    assert found(chronicle) == ["claimed while running", "claimed while somebody held it"]


def test_a_token_that_changes_while_a_job_runs_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    write(claim(), lease_token="another")

    assert found(chronicle) == ["its token changed while it ran"]


def test_a_fence_that_falls_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    write(claim(), fence=F("fence") - 1)

    assert found(chronicle) == ["the fence fell from 2 to 1"]


def test_a_claim_that_keeps_its_fence_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    job = SyncJob.objects.get(partner="akave")
    write(job, status="running", lease_token="token", lease_until=db_now() + timedelta(seconds=45))

    assert found(chronicle) == ["running with a token", "went from pending to running without a new fence"]


def test_a_token_used_twice_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    job = claim()
    claims.let_go([job], db_now())
    again = {"lease_token": job.lease_token, "lease_until": db_now() + timedelta(seconds=45)}
    write(job, status="running", fence=F("fence") + 1, **again)

    assert found(chronicle) == ["claimed without a token of its own"]


def test_a_rescue_of_a_live_lease_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    claim()

    claims.rescue(db_now() + timedelta(seconds=60))

    assert found(chronicle) == ["taken back from a worker whose lease was live"]


def stale(job: SyncJob) -> dict[str, Any]:
    """Return what the worker of this claim would store at its end, if nothing refused it."""
    facts = attempt(number=job.runs + 1, started_at=job.claimed_at.isoformat()).dump()  # type: ignore[union-attr]
    outcome = {"entry": {"is_synced": True}, "attempt": facts, "refs": []}
    ending = {"status": Status.DONE, "lease_token": "", "outcome": outcome, "runs": job.runs + 1}
    return {**ending, "lease_until": db_now() + timedelta(seconds=45)}


def test_the_end_of_a_worker_that_was_rescued_from_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    late = claim()
    elapse(100)
    tick()
    claim()

    write(late, **stale(late))

    assert found(chronicle) == [
        "attempt 1 ended a job with 1 attempts: a stale worker's",
        "ended by an attempt that began before it was claimed: a stale worker's",
    ]


def test_the_end_of_a_worker_that_was_told_otherwise_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    late = claim()
    record.update_partner_sync("akave", False)
    elapse(1)
    ending = stale(late)
    ending["outcome"]["attempt"]["started_at"] = (db_now() - timedelta(seconds=9)).isoformat()
    claim()

    write(late, **ending)

    assert found(chronicle) == ["ended by an attempt that began before it was claimed: a stale worker's"]


def test_a_step_that_a_stale_worker_saves_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    late = claim()
    claims.let_go([late], db_now())

    write(late, step="store")

    assert found(chronicle) == ["its steps or attempts changed while pending"]


def test_an_outcome_of_nobody_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    job = SyncJob.objects.get(partner="akave")
    held = db_now() + timedelta(seconds=45)
    write(job, outcome={"entry": {}, "attempt": None, "refs": []}, lease_until=held)

    assert found(chronicle) == [
        "an outcome was stored while pending, by nobody who held it",
        "held again while pending, without a claim",
    ]


def test_a_job_that_comes_back_from_the_dead_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    FakePartner.service("akave").plan("store", PermanentError("akave: store: refused", http_status=400))
    engine.push("akave")
    write(SyncJob.objects.get(partner="akave"), status="retrying")

    assert found(chronicle) == ["went from failed to retrying without a new fence"]


def test_a_second_job_that_begins_below_the_first_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    engine.push("akave")
    SyncJob.objects.create(record=record, partner="akave", user_hash="user-1", data_type="health", fence=2)

    assert "a new job has fence 2, one before it had 2" in found(chronicle)


def test_a_report_without_outcome_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    write(claim(), fence=F("fence") + 1, status="failed", lease_token="")

    assert found(chronicle) == ["the fence rose from 2 to 3, and it is neither a claim nor a report"]


def test_an_entry_whose_fence_falls_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    engine.push("akave")
    DataUnion.objects.update(partners=MergeEntry("akave", {"fence": 1}))

    assert found(chronicle) == ["akave: the entry's fence fell from 2 to 1"]


def test_an_entry_that_turns_without_a_new_fence_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    DataUnion.objects.update(partners=MergeEntry("akave", {"is_synced": True}))

    assert "akave: the entry became synced without a new fence" in found(chronicle)


def test_a_signer_in_two_hands_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    first = ledger.take_signer(chain_id=1, address="0x" + "1" * 40, max_unmined=1)
    assert first is not None
    first.let_go()
    assert ledger.take_signer(chain_id=1, address="0x" + "1" * 40, max_unmined=1)
    assert found(chronicle) == []

    Signer.objects.update(lease_token="another")

    assert found(chronicle) == ["its lease was taken while somebody held it"]


def test_a_gate_in_two_hands_is_named(chronicle: Chronicle, record: DataUnion) -> None:
    with gate.hold("akave"):
        Partner.objects.filter(name="akave").update(gate_token="another")

    assert found(chronicle) == ["its lease was taken while somebody held it"]


def test_a_chronicle_leaves_nothing_behind(database: str) -> None:
    with Chronicle() as running:
        ingest.register_record(user_hash="user-1", data_type="health", data_id="one", payload=b"{}")
        assert len([change for change in running.changes() if change.table == "syncjobs"]) == 2
    ingest.register_record(user_hash="user-1", data_type="health", data_id="two", payload=b"{}")

    with Chronicle() as running:
        assert running.changes() == []


def test_a_job_that_begins_below_the_first_may_be_taken_back_at_once(chronicle: Chronicle, record: DataUnion) -> None:
    engine.push("akave")
    job = SyncJob.objects.create(record=record, partner="akave", user_hash="user-1", data_type="health", fence=2)
    job.delete()

    assert found(chronicle) == []
