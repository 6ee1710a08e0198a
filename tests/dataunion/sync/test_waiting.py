"""What a job waits for, without limit and without spending anything: its record, its data, another partner, a gate."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from dataunion import claims, vault
from dataunion.clock import db_now
from dataunion.ingest import register_record
from dataunion.models import DataUnion, HealthData, Partner, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from dataunion.sync import engine, tick
from partners.errors import TransientError
from partners.testing import FakePartner
from tests.dataunion.sync.adapters import HERE, NeedsAkave, partners_of
from tests.dataunion.work import ago, at_once, hand_in, job_of, make_due, row, seconds_to, set_partner

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def second(settings: Any) -> str:
    """A partner that requires akave."""
    settings.PARTNERS = partners_of(second="NeedsAkave")
    NeedsAkave.seen.clear()
    return "second"


# --- another partner


def test_a_job_waits_until_the_required_partner_has_the_record(second: str) -> None:
    record = hand_in()

    engine.push(second)

    job = job_of(record, second)
    assert (job.status, job.attempts, job.runs, job.waiting_since) == (Status.PENDING, 0, 0, None)
    assert 895 < seconds_to(job) <= 900
    assert FakePartner.service(second).calls == []
    assert SyncAttempt.objects.count() == 0


def test_completing_the_requirement_wakes_the_job(second: str) -> None:
    record = hand_in()
    engine.push(second)

    engine.push("akave")

    assert seconds_to(job_of(record, second)) <= 0
    assert engine.push(second) == 1
    assert DataUnion.objects.get().entry(second).is_synced


def test_a_step_sees_what_the_required_partner_gave_back(second: str) -> None:
    hand_in()
    engine.push("akave")

    engine.push(second)

    record = DataUnion.objects.get()
    [required] = NeedsAkave.seen
    assert required["akave"].entry == {"id": record.entry("akave").receipt["id"]}
    assert required["akave"].retry_data["secret"] == f"secret-of-{record.pk}"


def test_a_requirement_met_while_the_job_was_looked_at_wakes_it_all_the_same(second: str, settings: Any) -> None:
    """The gate is asked about `first` after `late` was seen as unsynced and before `late` is let go."""
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.meet_requirements"]
    first, late = hand_in("first"), hand_in("late")
    engine.push("akave")
    DataUnion.objects.filter(pk=late.pk).update(partners=MergeEntry("akave", {"is_synced": False}))

    engine.push(second)

    assert DataUnion.objects.get(pk=first.pk).entry(second).is_synced
    # Woken at once, it was claimed and synced by the same push.
    assert DataUnion.objects.get(pk=late.pk).entry(second).is_synced


def test_a_new_job_that_requires_another_partner_is_due_when_it_would_look_by_itself(second: str) -> None:
    record = register_record(user_hash="u1", data_type="health", data_id="a", payload=b"{}").record

    assert seconds_to(job_of(record, "akave")) <= 0
    assert 895 < seconds_to(job_of(record, second)) <= 900


# --- data


def test_a_record_without_data_waits_and_is_woken_when_the_data_comes() -> None:
    record = hand_in(payload=None)
    engine.push("akave")
    job = job_of(record)
    assert (job.status, job.attempts) == (Status.PENDING, 0)
    assert seconds_to(job) > 800

    register_record(user_hash="u1", data_type="health", data_id="a", payload=b"{}")

    assert seconds_to(job_of(record)) <= 0
    assert engine.push("akave") == 1
    assert DataUnion.objects.get().entry("akave").is_synced


# --- the record itself


def test_a_job_whose_record_is_on_its_way_in_is_looked_at_again_soon() -> None:
    record = hand_in()
    kept = DataUnion.objects.filter(pk=record.pk).values().get()
    DataUnion.objects.all().delete()
    SyncJob.objects.update(created_at=db_now())

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts) == (Status.PENDING, 0)
    assert 0 < seconds_to(job) <= 2

    DataUnion.objects.create(**kept)
    make_due(record)
    engine.push("akave")
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_record_that_does_not_come_is_looked_for_every_half_minute_at_most() -> None:
    record = hand_in()
    DataUnion.objects.all().delete()
    SyncJob.objects.update(created_at=ago(500))

    engine.push("akave")

    assert 28 < seconds_to(job_of(record)) <= 30


def test_a_job_whose_record_never_came_is_dropped_after_ten_minutes() -> None:
    hand_in()
    DataUnion.objects.all().delete()
    SyncJob.objects.filter(partner="akave").update(created_at=ago(601))

    engine.push("akave")

    assert SyncJob.objects.filter(partner="akave").count() == 0
    assert FakePartner.service("akave").calls == []


# --- data that does not open


def test_damaged_data_fails_its_own_job_only() -> None:
    damaged = hand_in("a")
    hand_in("b")
    HealthData.objects.filter(pk=damaged.pk).update(payload=vault.seal(b"{}", "healthdata", "another row"))

    engine.push("akave")

    [job] = SyncJob.objects.filter(partner="akave")
    assert (job.record_id, job.status, job.error_class) == (damaged.pk, Status.FAILED, "damaged")
    assert job.error_message == (
        "akave: stored data cannot be opened: sealed bytes do not belong to this row, or are damaged"
    )


def test_damaged_step_results_fail_their_own_job_only() -> None:
    damaged = hand_in("a")
    hand_in("b")
    SyncJob.objects.filter(record=damaged, partner="akave").update(saved=b"\x01 too short")

    engine.push("akave")

    assert SyncJob.objects.filter(partner="akave").values_list("record_id", "error_class").get() == (
        damaged.pk,
        "damaged",
    )


def test_data_that_is_gone_fails_the_job() -> None:
    record = hand_in()
    FakePartner.service("akave").plan("keys", lambda item: at_once(HealthData.objects.all().delete))

    engine.push("akave")

    assert job_of(record).error_message == "akave: the record's data is gone; hand it in again"


def test_a_key_that_is_missing_pauses_the_partner(settings: Any) -> None:
    hand_in()
    settings.VAULT_KEYS = [vault.new_key()]

    engine.push("akave")

    partner = Partner.objects.get(name="akave")
    assert partner.state == "paused"
    assert partner.state_reason.startswith("akave: stored data cannot be opened: no key ")
    assert SyncJob.objects.get(partner="akave").status == Status.RETRYING


# --- gates


def test_a_gate_blocks_with_its_reason(settings: Any) -> None:
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.allow", f"{HERE}.refuse"]
    record = hand_in()

    engine.push("akave")
    engine.push("vana")

    job = job_of(record)
    assert (job.status, job.error_class) == (Status.BLOCKED, "blocked")
    assert job.error_message == "The person withdrew the consent."
    assert FakePartner.service("akave").calls == []
    assert DataUnion.objects.get().entry("vana").is_synced


def test_a_gate_is_asked_about_each_record_by_itself(settings: Any) -> None:
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.refuse_one"]
    refused, allowed = hand_in("withdrawn"), hand_in("given")

    engine.push("akave")

    job = job_of(refused)
    assert (job.status, job.error_message) == (Status.BLOCKED, "This person withdrew the consent.")
    assert {record_id for _, record_id in FakePartner.service("akave").calls} == {str(allowed.pk)}
    assert DataUnion.objects.get(pk=allowed.pk).entry("akave").is_synced


def test_a_gate_that_breaks_lets_nothing_through_and_shows_no_data(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.break_down"]
    record = hand_in(user_hash="PLANTED-MARKER")
    caplog.set_level(logging.DEBUG)

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.error_class) == (Status.FAILED, "internal")
    assert FakePartner.service("akave").calls == []
    assert "PLANTED-MARKER" not in caplog.text + job.error_message + str([vars(r) for r in caplog.records])


# --- taking back


def revoke(record: DataUnion, partner: str = "akave") -> SyncJob:
    """Ask for a record to be taken back, as the one who does so will: a job at the next fence with what is saved."""
    entry = DataUnion.objects.get(pk=record.pk).entry(partner)
    return SyncJob.objects.create(
        record=record,
        partner=partner,
        kind="revoke",
        user_hash=record.user_hash,
        data_type=record.data_type,
        fence=entry.fence + 1,
        runs=entry.attempts,
        saved=vault.from_text(entry.retry_data) if entry.retry_data else None,
        due_at=ago(5),
    )


def test_taking_back_runs_its_own_steps_and_marks_the_entry_as_withdrawn() -> None:
    record = hand_in()
    engine.push("akave")
    revoke(record)

    engine.push("akave")

    record.refresh_from_db()
    entry = record.entry("akave")
    assert (entry.is_synced, entry.error_message, entry.attempts) == (False, None, 2)
    assert entry.withdrawn_at is not None
    assert FakePartner.service("akave").objects == {}
    assert "secret" not in record.retry_data("akave")
    assert SyncJob.objects.filter(partner="akave").count() == 0


def test_taking_back_waits_neither_for_data_nor_for_gates_nor_for_other_partners(second: str, settings: Any) -> None:
    record = hand_in()
    engine.push("akave")
    engine.push(second)
    revoke(record, "akave")
    engine.push("akave")
    HealthData.objects.all().delete()
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.refuse"]
    revoke(record, second)

    engine.push(second)

    assert DataUnion.objects.get().entry(second).withdrawn_at is not None


def test_taking_back_that_fails_is_retried_at_its_own_step() -> None:
    record = hand_in()
    engine.push("akave")
    revoke(record)
    FakePartner.service("akave").plan("remove", TransientError("akave: remove: HTTP 503"))

    engine.push("akave")

    assert SyncJob.objects.values_list("status", "kind").get(partner="akave") == (Status.RETRYING, "revoke")
    make_due(record)
    engine.push("akave")
    assert DataUnion.objects.get().entry("akave").withdrawn_at is not None


def test_a_partner_that_cannot_take_back_says_so(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="NoWayBack")
    record = hand_in()
    engine.push("x")
    revoke(record, "x")
    other = hand_in("b")

    engine.push("x")

    job = job_of(record, "x")
    assert (job.status, job.error_message) == (Status.FAILED, "x: the adapter has no steps to revoke a record")
    other.refresh_from_db()
    assert other.entry("x").is_synced


def test_a_snoozed_job_is_unchanged_but_for_its_time(second: str) -> None:
    record = hand_in()
    before = row(job_of(record, second))

    engine.push(second)

    after = row(job_of(record, second))
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"due_at", "changed_at", "claimed_at", "fence"}
    assert after["claimed_at"] - before["due_at"] > timedelta(0)
    assert claims.open_saved(job_of(record, second)) == {}


def test_a_gate_that_still_says_no_is_asked_again_and_again_without_new_attempts(settings: Any) -> None:
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.refuse"]
    record = hand_in()
    for _ in range(3):
        engine.push("akave")
        assert 895 < seconds_to(job_of(record)) <= 900
        make_due(record)
        claims.unblock("akave", db_now())

    assert SyncAttempt.objects.count() == 1
    assert DataUnion.objects.get().entry("akave").error_message == "The person withdrew the consent."


def test_a_gate_that_changes_its_mind_lets_the_record_go(settings: Any) -> None:
    settings.DATAUNION_SYNC_GATES = [f"{HERE}.refuse"]
    record = hand_in()
    engine.push("akave")
    make_due(record)
    settings.DATAUNION_SYNC_GATES = []

    tick.tick()
    engine.push("akave")

    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_record_that_is_not_enrolled_with_the_required_partner_is_blocked(second: str) -> None:
    set_partner("akave", state="off")
    record = hand_in()

    engine.push(second)

    job = job_of(record, second)
    assert (job.status, job.error_message) == (
        Status.BLOCKED,
        "second needs akave, and this record is not enrolled with it.",
    )


def test_an_orphan_is_dropped_and_those_beside_it_are_let_go(settings: Any) -> None:
    lost, waits = hand_in("lost"), hand_in("waits", payload=None)
    DataUnion.objects.filter(pk=lost.pk).delete()
    SyncJob.objects.update(created_at=ago(700))
    SyncJob.objects.filter(record_id=lost.pk).update(due_at=ago(90))

    engine.push("akave")

    assert not SyncJob.objects.filter(record_id=lost.pk, partner="akave").exists()
    job = job_of(waits)
    assert (job.status, job.lease_token) == (Status.PENDING, "")
    assert seconds_to(job) > 800
