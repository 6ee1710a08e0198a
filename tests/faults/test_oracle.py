"""The oracle finds nothing in a sound world, and names each broken promise of our rows; partners are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from dataunion import ingest
from dataunion.clock import db_now
from dataunion.models import NEVER, Counters, DataUnion, HealthData, HourStat, Partner, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.sync import engine
from dataunion.sync.tick import tick, upkeep
from partners.errors import PermanentError, TransientError
from partners.testing import FakePartner, FakeService
from tests.factories import SyncAttemptFactory
from tests.faults.elapse import elapse
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated, find_violations, slowdown
from tests.faults.picture import Picture, empty
from tests.faults.rules.services import once_id
from tests.faults.rules.world import read_world


def hand_in(data_id: str) -> DataUnion:
    payload = f'{{"note":"{MARKER}","of":"{data_id}"}}'.encode()
    return ingest.register_record(user_hash="user-1", data_type="health", data_id=data_id, payload=payload).record


@pytest.fixture(scope="module")
def sound(django_db_setup: str, django_db_blocker: Any) -> Iterator[Picture]:
    """Give a record that both partners have, beside one that akave refused for good and vana has since a retry."""
    with django_db_blocker.unblock():
        empty()
        service().plan("store", PermanentError("akave: store: refused", http_status=400))
        service("vana").plan("store", TransientError("vana: store: HTTP 503", http_status=503))
        hand_in("refused")
        push()
        hand_in("good")
        elapse(60)
        tick()
        push()
        yield Picture()


@pytest.fixture
def synced(sound: Picture, database: str) -> DataUnion:
    """Give the record that both partners have; everything is as it was found."""
    sound.put_back()
    return DataUnion.objects.get(data_id="good")


@pytest.fixture
def job(synced: DataUnion) -> SyncJob:
    """Give the job of the record that was refused."""
    return SyncJob.objects.get()


def push() -> None:
    for name in ("akave", "vana"):
        engine.push(name)


def service(name: str = "akave") -> FakeService:
    return FakePartner.service(name)


def object_of(record: DataUnion, partner: str = "akave") -> str:
    return once_id(read_world().sides[record.pk, partner])


def change_entry(record: DataUnion, partner: str, **changes: Any) -> None:
    DataUnion.objects.filter(pk=record.pk).update(partners=MergeEntry(partner, changes))


def change_job(job: SyncJob, **changes: Any) -> None:
    SyncJob.objects.filter(pk=job.pk).update(**changes)


def named(**fields: Any) -> set[str]:
    return {violation.invariant for violation in find_violations(Evidence(patience_s=0, **fields))}


def test_a_sound_world_breaks_no_promise(synced: DataUnion) -> None:
    assert_nothing_violated(Evidence())
    assert_nothing_violated(Evidence(at_rest=False))
    outcomes = SyncAttempt.objects.values_list("outcome", flat=True)
    assert sorted(outcomes) == ["permanent", "synced", "synced", "synced", "transient"]


def test_a_failure_names_invariant_partner_and_record(synced: DataUnion) -> None:
    change_entry(synced, "akave", is_synced=False)

    with pytest.raises(AssertionError, match=f"I1 akave {synced.pk}: lost: not synced"):
        assert_nothing_violated(Evidence(patience_s=0))


# --- I1: nothing is lost ---------------------------------------------------------------------------------------------


def test_a_synced_record_with_a_job_is_named(job: SyncJob) -> None:
    world = read_world()
    service().objects[object_of(job.record)] = world.payloads[job.record_id]
    change_entry(job.record, "akave", is_synced=True)

    [told] = [violation.what for violation in find_violations(Evidence(patience_s=0, at_rest=False))]

    assert told == f"akave {job.record_id}: synced, and a job is failed too"


LATER = {"retrying beyond its cap": 7 * 3600, "pending beyond any wait": 2 * 3600}


@pytest.mark.parametrize(("what", "seconds"), LATER.items())
def test_a_job_due_too_late_is_named(job: SyncJob, what: str, seconds: float) -> None:
    change_job(job, status=what.split()[0], due_at=db_now() + timedelta(seconds=seconds))

    assert named(at_rest=False) == {"I1"}


STUCK: dict[str, dict[str, Any]] = {
    "failed without a class": {"error_class": ""},
    "failed without a message": {"error_message": ""},
    "without a due time": {"status": "retrying", "due_at": NEVER},
    "done, never finished": {"status": "done"},
    "running, held by nobody": {"status": "running", "lease_token": "token"},
    "an outcome nobody will publish": {"outcome": {"entry": {}, "attempt": None, "refs": []}},
}


@pytest.mark.parametrize("what", STUCK)
def test_a_job_that_nobody_goes_on_with_is_named_at_any_moment(job: SyncJob, what: str) -> None:
    change_job(job, **STUCK[what])

    assert named(at_rest=False) == {"I1"}


OUTCOME: dict[str, Any] = {"entry": {}, "attempt": None, "refs": []}
UNFINISHED: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "due, and nobody came": ({"status": "pending"}, {"due_at": -5}),
    "a lease that expired": ({"status": "running", "lease_token": "token"}, {"lease_until": -5}),
    "still running": ({"status": "running", "lease_token": "token"}, {"lease_until": 30}),
    "a done job": ({"status": "done", "outcome": OUTCOME}, {"lease_until": 30}),
    "an outcome unpublished": ({"outcome": OUTCOME}, {"lease_until": 30}),
    "held, with nothing to publish": ({}, {"lease_until": 30}),
    "another error than its entry's": ({"error_message": "something else"}, {}),
}


@pytest.mark.parametrize("what", UNFINISHED)
def test_what_could_have_been_finished_is_named_at_rest_only(job: SyncJob, what: str) -> None:
    fields, moments = UNFINISHED[what]
    change_job(job, **fields, **{name: db_now() + timedelta(seconds=s) for name, s in moments.items()})

    assert named() == {"I1"}
    assert named(at_rest=False) == set()


@pytest.mark.parametrize("reason", ["paused", "resting"])
def test_due_work_of_a_partner_that_takes_none_is_no_violation(job: SyncJob, reason: str) -> None:
    change_job(job, status="pending", due_at=db_now() - timedelta(seconds=5))
    rest = {"state": "paused"} if reason == "paused" else {"not_before": db_now() + timedelta(seconds=60)}
    Partner.objects.filter(name="akave").update(**rest)

    assert named() == set()


def test_due_work_without_data_is_no_violation(synced: DataUnion) -> None:
    record = DataUnion.create_data_union(user_hash="user-1", data_type="health", data_id="no data yet")
    SyncJob.objects.filter(record=record).update(due_at=db_now() - timedelta(seconds=5))

    assert named() == set()


def test_a_job_where_its_record_is_not_enrolled_is_named(job: SyncJob) -> None:
    entries = {"vana": job.record.partners["vana"]}
    DataUnion.objects.filter(pk=job.record_id).update(partners=entries)
    SyncAttempt.objects.filter(record=job.record_id, partner="akave").delete()

    assert named(at_rest=False) == {"I1", "I6"}


def test_an_orphan_is_named_when_it_should_have_been_dropped(job: SyncJob) -> None:
    SyncJob.objects.create(record_id=uuid4(), partner="akave", user_hash="u", data_type="health")
    assert named(at_rest=False) == set()

    SyncJob.objects.update(created_at=db_now() - timedelta(hours=1))

    assert named() == {"I1"}


# --- I2, I3, I7: what a partner holds --------------------------------------------------------------------------------


def test_an_object_that_is_missing_is_named(synced: DataUnion) -> None:
    service().objects.pop(object_of(synced))

    assert named() == {"I2"}


def test_an_object_that_no_record_explains_is_named(synced: DataUnion) -> None:
    service().objects["f" * 64] = b"{}"

    assert named() == {"I2"}


def test_an_object_left_after_a_withdrawal_is_named(synced: DataUnion) -> None:
    change_entry(synced, "akave", is_synced=False, withdrawn_at=db_now().isoformat())

    assert named() == {"I2"}


def test_a_flipped_byte_is_named(synced: DataUnion) -> None:
    name = object_of(synced)
    service().objects[name] = service().objects[name][:-1] + b"!"

    assert named() == {"I3"}


def test_data_that_do_not_open_are_named(synced: DataUnion) -> None:
    sealed = bytes(HealthData.objects.get(pk=synced.pk).payload)
    HealthData.objects.filter(pk=synced.pk).update(payload=sealed[:-1] + bytes([sealed[-1] ^ 1]))

    assert named() == {"I3"}


def test_something_sent_after_a_withdrawal_is_named(synced: DataUnion) -> None:
    change_entry(synced, "akave", is_synced=False, withdrawn_at=db_now().isoformat(), fence=9)
    service().objects.pop(object_of(synced))
    service().calls += [("remove", str(synced.pk)), ("store", str(synced.pk))]

    assert named() == {"I7"}


# --- I4: leases as they stand (write by write: test_oracle_leases) ----------------------------------------------------


def test_a_token_that_was_left_is_named(job: SyncJob) -> None:
    change_job(job, lease_token="token")

    assert named() == {"I4"}


def test_a_running_job_without_token_is_named(job: SyncJob) -> None:
    change_job(job, status="running", lease_until=db_now() + timedelta(seconds=30))

    assert named(at_rest=False) == {"I4"}


def test_an_entry_newer_than_its_job_is_named(job: SyncJob) -> None:
    change_entry(job.record, "akave", fence=job.fence + 1)

    assert named() == {"I4"}


# --- I5: attempts without gaps ---------------------------------------------------------------------------------------


def test_a_gap_in_the_attempts_is_named(synced: DataUnion) -> None:
    SyncAttempt.objects.filter(partner="vana", number=1, outcome="transient").delete()

    assert named(at_rest=False) == {"I5"}


def test_an_attempt_too_many_is_named(job: SyncJob) -> None:
    SyncAttemptFactory(record=job.record, partner="akave", number=2, fence=job.fence - 1)

    assert named(at_rest=False) == {"I5"}


def test_an_attempt_that_is_not_counted_is_named(job: SyncJob) -> None:
    change_job(job, runs=0)

    assert named() == {"I5"}


def test_an_attempt_that_the_entry_does_not_tell_of_is_named(synced: DataUnion) -> None:
    change_entry(synced, "vana", attempts=2)

    assert named() == {"I5"}


def test_an_attempt_of_nobody_is_named(synced: DataUnion) -> None:
    SyncAttempt.objects.filter(record=synced, partner="vana").update(partner="akave", fence=7, record_id=uuid4())

    assert named() == {"I5"}


def test_a_sync_that_no_attempt_tells_of_is_named_unless_somebody_said_so(synced: DataUnion) -> None:
    SyncAttempt.objects.filter(record=synced, partner="vana").update(outcome="transient")

    assert named() == {"I5"}
    assert named(told=[(synced.pk, "vana")]) == set()


def test_what_was_sent_more_often_than_claimed_is_named(synced: DataUnion) -> None:
    service().calls.append(("store", str(synced.pk)))

    assert named() == {"I5"}


# --- I6: statistics equal a recount ----------------------------------------------------------------------------------


def test_a_counter_off_by_one_is_named(synced: DataUnion) -> None:
    row = Counters.objects.get(name="ingest")
    row.counts["enrolled"]["vana"]["health"] += 1
    row.save()

    assert named() == {"I6"}


def test_a_record_counted_twice_is_named(synced: DataUnion) -> None:
    DataUnion.objects.filter(pk=synced.pk).update(counted=0)

    assert named() == {"I6"}


def test_hours_that_do_not_add_up_are_named(synced: DataUnion) -> None:
    upkeep()
    assert named(hours=True) == set()

    HourStat.objects.filter(outcome="permanent").update(count=2, durations={"10": 2})

    assert named(hours=True) == {"I6"}
    assert named() == set()


# --- I8, I10 ---------------------------------------------------------------------------------------------------------


def test_a_slowdown_is_named(synced: DataUnion) -> None:
    baseline = [0.1] * 95 + [1.0] * 5

    assert slowdown(baseline, [0.1] * 95 + [1.2] * 5) == pytest.approx(1.2)
    assert named(baseline_s=baseline, healthy_s=[0.1] * 95 + [1.19] * 5) == set()
    assert named(baseline_s=baseline, healthy_s=[0.1] * 95 + [1.3] * 5) == {"I8"}


BEYOND: dict[str, dict[str, Any]] = {
    "attempts": {"attempts": 13},
    "crashes": {"crashes": 3},
    "an outcome": {"outcome": OUTCOME | {"refs": ["x" * 20_000]}, "lease_until": NEVER + timedelta(days=1)},
}


@pytest.mark.parametrize("what", BEYOND)
def test_what_grew_beyond_its_bound_is_named(job: SyncJob, what: str) -> None:
    change_job(job, **BEYOND[what])

    assert named(at_rest=False) == {"I10"}


def test_an_endless_error_message_is_named(job: SyncJob) -> None:
    change_job(job, error_message="x" * 3000)
    change_entry(job.record, "akave", error_message="x" * 3000)

    assert named() == {"I10"}


def test_a_third_death_at_one_step_is_named(job: SyncJob) -> None:
    for number in (2, 3, 4):
        SyncAttemptFactory(record=job.record, number=number, fence=number + 2, outcome="crashed", partner="akave")
    change_job(job, runs=4, fence=9)
    change_entry(job.record, "akave", attempts=4)

    assert named() == {"I10"}
