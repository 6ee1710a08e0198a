"""A clock that is an hour wrong: the database's, a worker's, or that of the machine that beat runs on."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta

import pytest
import time_machine
from celery import current_app
from django.db.models import Q

from dataunion import claims, gate, ledger, roster, stats
from dataunion.clock import db_now
from dataunion.models import NEVER, HourStat, Partner, Signer, SyncAttempt, SyncJob, TaskLease
from dataunion.sync import engine
from dataunion.sync.tick import hold, tick
from dataunion_project.beat import Clockwork
from tests.faults.elapse import elapse
from tests.faults.oracle import Evidence, assert_nothing_violated
from tests.faults.union import Union, register
from tests.flows.house import House, eventually
from tests.flows.sandboxes import Sandboxes

HOUR_S = 3600.0
CASES = pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
SHIFTS = pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])


def open_jobs() -> list[SyncJob]:
    return list(SyncJob.objects.filter(partner="akave"))


# --- the database's clock: what it does to rows is what `elapse` does


@CASES
def test_work_goes_on_at_once_when_the_databases_clock_jumps(jump_s: float) -> None:
    record = register("due")

    elapse(jump_s)
    tick()

    assert engine.push("akave") == 1
    assert record.entry("akave").is_synced is False  # as it was read; the row says more
    assert not open_jobs()
    Union(None).settle("akave", "vana")  # type: ignore[arg-type]
    assert_nothing_violated(Evidence())


@CASES
def test_what_a_dead_worker_held_is_taken_over_when_the_databases_clock_jumps(jump_s: float) -> None:
    register("held")
    [held] = claims.claim("akave", limit=1)

    elapse(jump_s)
    tick()

    [job] = open_jobs()
    assert (job.status, job.lease_until) == ("pending", NEVER)
    assert claims.save_step([held], "confirm", db_now()) == set()
    Union(None).settle("akave", "vana")  # type: ignore[arg-type]
    assert list(SyncAttempt.objects.filter(partner="akave").values_list("outcome", flat=True)) == ["crashed", "synced"]
    assert_nothing_violated(Evidence())


@CASES
def test_two_owners_after_a_jump_do_nothing_twice(union: Union, jump_s: float) -> None:
    record = union.hand_in()
    [slow] = claims.claim("akave", limit=1)
    elapse(jump_s)

    union.settle()

    assert claims.save_step([slow], "upload", db_now()) == set()
    assert claims.renew([slow], db_now()) == set()
    assert union.is_synced(record)
    assert len(union.sandboxes.stored_keys()) == 1
    assert len([e for e in union.sandboxes.hook_log() if "ping" not in e["id"]]) == 1
    union.check()


def test_no_lease_outlives_a_clock_that_went_back() -> None:
    row = roster.get_partner("akave")
    signer = ledger.take_signer(chain_id=1, address="0x" + "1" * 40, max_unmined=4)
    Partner.objects.filter(pk=row.pk).update(gate_token="gone", gate_until=db_now() + timedelta(seconds=5))
    with hold("tick", 60.0):
        elapse(-HOUR_S)

        with hold("tick", 60.0) as now:
            assert now is not None
        with gate.hold("akave") as held:
            assert held is not None
        taken = ledger.take_signer(chain_id=1, address="0x" + "1" * 40, max_unmined=4)

    assert signer is not None
    assert taken is not None
    assert not signer.renew(db_now())
    assert Signer.objects.get().lease_token == taken.token
    assert TaskLease.objects.get(name="tick").until <= NEVER + timedelta(hours=1)


def test_a_lease_within_its_time_is_nobody_elses(database: str) -> None:
    register("held")
    claims.claim("akave", limit=1)
    with hold("tick", 60.0), gate.hold("akave"):
        with hold("tick", 60.0) as now:
            assert now is None
        assert SyncJob.objects.expired(db_now(), limit=1) == []
        assert SyncJob.objects.held(db_now()).count() == 1


def test_waits_and_peace_are_as_long_as_before_when_the_clock_went_back() -> None:
    register("waits")
    now = db_now()
    SyncJob.objects.filter(partner="akave").update(
        status="retrying", due_at=now + timedelta(seconds=40), changed_at=now
    )
    roster.get_partner("akave")
    gate.ask_for_peace("akave", now + timedelta(seconds=30))

    elapse(-HOUR_S)
    tick()

    [job] = open_jobs()
    assert 0 < (job.due_at - db_now()).total_seconds() <= 40
    assert 0 < (Partner.objects.get(name="akave").not_before - db_now()).total_seconds() <= 30
    assert not SyncJob.objects.filter(Q(changed_at__gt=db_now()) | Q(due_at__gt=db_now() + timedelta(hours=1))).exists()


def test_a_limit_of_so_many_a_second_is_not_paid_back_for_an_hour_that_came_twice() -> None:
    roster.get_partner("akave")
    Partner.objects.filter(name="akave").update(per_second=2.0)
    register("one")
    assert engine.push("akave") == 1
    register("two")

    elapse(-HOUR_S)
    tick()
    Partner.objects.filter(name="akave", rate_tokens__gt=-1).update(rate_tokens=2.0)

    assert engine.push("akave") == 1


def test_an_hour_that_comes_twice_is_counted_whole() -> None:
    union = Union(None)  # type: ignore[arg-type]
    register("before")
    union.settle("akave", "vana")
    stats.roll_up(db_now())

    elapse(-HOUR_S)
    HourStat.objects.update(hour=(db_now() + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0))
    register("again")
    union.settle("akave", "vana")
    stats.roll_up(db_now())

    hour = SyncAttempt.objects.earliest("created_at").created_at.replace(minute=0, second=0, microsecond=0)
    counted = HourStat.objects.filter(hour=hour, outcome="synced").values_list("count", flat=True)
    attempts = SyncAttempt.objects.filter(created_at__gte=hour, created_at__lt=hour + timedelta(hours=1))
    assert sum(counted) == attempts.count() >= 2


# --- the clock of a machine of ours, while the database's is right


@SHIFTS
def test_what_is_handed_in_by_a_wrong_clock_is_due_by_the_databases(shift_s: float) -> None:
    with time_machine.travel(dt.datetime.now(dt.UTC) + timedelta(seconds=shift_s), tick=True):
        record = register("one")
        report = register("two")
        report.update_partner_sync("akave", is_synced=False, error_message="seen to fail")

    now = db_now()
    assert abs((record.created_at - now).total_seconds()) < 60
    jobs = SyncJob.objects.all()
    assert max(abs((job.due_at - now).total_seconds()) for job in jobs) < 60
    assert max(abs((job.created_at - now).total_seconds()) for job in jobs) < 60
    assert engine.push("akave") == 1


@SHIFTS
def test_a_tick_and_a_worker_with_wrong_clocks_keep_the_databases_time(shift_s: float) -> None:
    register("one")
    register("two")
    [held] = claims.claim("akave", limit=1)

    with time_machine.travel(dt.datetime.now(dt.UTC) + timedelta(seconds=shift_s), tick=True):
        tick()
        assert engine.push("akave") == 1

    assert claims.renew([held], db_now()) == {held.pk}
    attempt = SyncAttempt.objects.get()
    assert (attempt.outcome, abs((attempt.created_at - db_now()).total_seconds()) < 60) == ("synced", True)


@SHIFTS
def test_processes_with_wrong_clocks_rescue_no_earlier_and_no_later(
    house: House, union: Union, sandboxes: Sandboxes, shift_s: float
) -> None:
    wrong = {"FAULTS_CLOCK_S": str(shift_s)}
    record = union.hand_in()
    union.push("akave", "hook")
    sandboxes.arm_chain("broadcast_hold", seconds=8)  # over two leases: the worker renews, and nobody takes over
    house.start("vana", "ticker", env=wrong)
    house.start("beat", env={"FAULTS_CLOCK_S": str(-shift_s)})

    eventually(lambda: union.is_synced(record))

    assert union.outcomes(record, "vana") == ["synced"]
    assert TaskLease.objects.get(name="tick").ran_at > NEVER
    assert abs((TaskLease.objects.get(name="tick").ran_at - db_now()).total_seconds()) < 60
    house.stop_workers()
    union.check(logs=[house.logs])


@SHIFTS
def test_a_partner_that_refuses_a_wrong_clock_is_paused_with_a_word_of_it(
    house: House, union: Union, sandboxes: Sandboxes, shift_s: float
) -> None:
    record = union.hand_in()
    house.start("akave", "hook", "ticker", "beat", env={"FAULTS_CLOCK_S": str(shift_s)})

    eventually(lambda: set(Partner.objects.filter(state="paused").values_list("name", flat=True)) == {"akave", "hook"})
    reasons = dict(Partner.objects.filter(state="paused").values_list("name", "state_reason"))
    assert all(f"s {'ahead of' if shift_s > 0 else 'behind'} theirs" in reason for reason in reasons.values())
    assert not sandboxes.stored_keys()
    house.stop_workers()

    for row in roster.find_partners():
        roster.resume(row, by="staff")
    union.settle()
    assert union.is_synced(record)
    union.check(logs=[house.logs])


class Beat(Clockwork):
    """Beat that only notes what it would send."""

    producer = None

    def __init__(self) -> None:
        super().__init__(app=current_app._get_current_object())
        self.sent: list[str] = []

    def apply_entry(self, entry: object, producer: object = None) -> None:
        self.sent.append(entry.name)  # type: ignore[attr-defined]


def test_beat_goes_on_when_its_machines_clock_is_set_back() -> None:
    with time_machine.travel(dt.datetime.now(dt.UTC) + timedelta(hours=1), tick=False) as travel:
        beat = Beat()
        beat.tick()
        travel.shift(100)
        while beat.tick() == 0:
            pass
        assert set(beat.sent) >= {"tick", "upkeep"}
        beat.sent.clear()

        travel.shift(-HOUR_S)
        left_s = beat.tick()
        assert left_s <= current_app.conf.beat_schedule["tick"]["schedule"]
        travel.shift(61)
        while beat.tick() == 0:
            pass

    assert set(beat.sent) >= {"tick", "upkeep"}
