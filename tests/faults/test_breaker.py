"""A partner that is down: one breaker for all workers, one probe that reaches the partner, and a slow way back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from dataunion import retries
from dataunion.clock import db_now
from dataunion.models import Partner, SyncAttempt, SyncJob
from dataunion.state import Status
from partners.breaker import HALF_OPEN, OPEN, Breaker
from tests.faults.acts import call_checked, in_thread, only, row_of
from tests.faults.elapse import elapse
from tests.faults.forks import Forks
from tests.faults.union import Union
from tests.flows.house import eventually

WORKERS = 8


def state() -> str:
    return Breaker.load(row_of("akave").breaker).state(db_now())


def open_s() -> float:
    """Return how long the breaker stays open yet."""
    until = Breaker.load(row_of("akave").breaker).reopens_at()
    assert until is not None
    return (until - db_now()).total_seconds()


def puts(union: Union) -> int:
    return sum(entry["method"] == "PUT" for entry in union.sandboxes.storage_log())


def break_down(union: Union, records: int = 40) -> None:
    """Hand in, and let the storage fail until its breaker opens."""
    only("akave")
    call_checked("akave")
    for number in range(records):
        union.hand_in(str(number))
    union.sandboxes.arm_s3("put_500", times=100_000, per_subject=1000)
    union.push("akave")
    assert state() == OPEN


def recover(union: Union) -> None:
    union.sandboxes.s3.faults.disarm()


def push_at_once(union: Union, workers: int = WORKERS) -> None:
    """Be so many workers at once, each on a connection of its own."""
    with in_thread(*[lambda: union.push("akave")] * workers):
        pass


def wait_half_open() -> None:
    elapse(max(0.0, open_s()) + 0.1)
    assert state() == HALF_OPEN


# --- opening


def test_a_partner_that_is_down_is_asked_a_few_times_only(union: Union) -> None:
    break_down(union)

    assert puts(union) <= 10 + 8  # what judges, and what was on its way
    assert 25 < open_s() <= 30
    asked = puts(union)
    push_at_once(union)
    union.tick()
    assert puts(union) == asked
    recover(union)
    union.settle("akave")
    union.check()


def test_staff_who_retry_everything_do_not_hammer_it(union: Union) -> None:
    break_down(union)
    asked = puts(union)

    retries.start_run({"partner": "akave"}, by="staff")
    for _ in range(3):
        union.tick()
        push_at_once(union, 2)

    assert (puts(union), state()) == (asked, OPEN)
    recover(union)
    union.settle("akave")
    union.check()


def test_it_is_the_breaker_of_that_partner_alone(union: Union) -> None:
    break_down(union)
    Partner.objects.filter(name="hook").update(state="on")
    record = union.hand_in("another")

    union.settle("hook")

    assert union.is_synced(record, "hook")
    assert Breaker.load(row_of("hook").breaker).trips == 0
    assert state() == OPEN


# --- the probe


def test_one_probe_reaches_the_partner_however_many_workers_there_are(union: Union) -> None:
    break_down(union)

    for opened_s in (60, 120):
        wait_half_open()
        asked = puts(union)
        push_at_once(union)

        assert puts(union) == asked + 1
        assert opened_s - 10 < open_s() <= opened_s
    recover(union)
    union.settle("akave")
    union.check()


def test_while_a_probe_is_slow_there_is_no_second_one(union: Union) -> None:
    break_down(union)
    wait_half_open()
    recover(union)
    union.sandboxes.arm_s3("put_hold", seconds=2.5)
    asked = puts(union)
    with in_thread(lambda: union.push("akave")):
        eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))

        push_at_once(union, 3)
        make_probe_late()
        push_at_once(union, 3)

        assert puts(union) == asked + 1
    union.settle("akave")
    union.check()


def make_probe_late() -> None:
    """Let the probe take longer than probes do; its worker renews its lease all the same."""
    breaker = row_of("akave").breaker or {}
    Partner.objects.filter(name="akave").update(breaker={**breaker, "probe_until": breaker["probe_until"] - 61})


def test_a_prober_that_is_killed_is_replaced(union: Union, forks: Forks) -> None:
    break_down(union)
    wait_half_open()
    recover(union)
    union.sandboxes.arm_s3("put_hold", seconds=20)
    asked = puts(union)
    prober = forks.start("push", "akave")
    eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))
    forks.kill(prober)

    union.tick()
    assert (union.push("akave"), puts(union)) == (0, asked + 1)
    elapse(61)
    union.tick()
    union.push("akave")

    assert puts(union) > asked + 1
    assert Breaker.load(row_of("akave").breaker).open_until is None
    union.settle("akave")
    union.check()


def test_of_two_processes_one_has_the_probe(union: Union, forks: Forks) -> None:
    break_down(union)
    wait_half_open()
    asked = puts(union)

    workers = [forks.start("push", "akave") for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]

    assert puts(union) == asked + 1
    assert 50 < open_s() <= 60
    recover(union)
    union.settle("akave")
    union.check()


# --- the way back


def chunks() -> list[int]:
    """Return how many records each chunk delivered, in order: what a chunk did, it began at one moment."""
    begun = SyncAttempt.objects.filter(partner="akave", outcome="synced").values_list("started_at", flat=True)
    return [count for _, count in sorted(Counter(begun).items())]


def make_all_due() -> None:
    SyncJob.objects.update(due_at=db_now())


def test_it_comes_back_slowly(union: Union) -> None:
    break_down(union)
    wait_half_open()
    recover(union)
    make_all_due()

    union.push("akave")

    assert chunks()[:6] == [1, 1, 2, 4, 8, 16]
    union.settle("akave")
    union.check()


def drain() -> None:
    """Let somebody's probe have gone well."""
    probing = Breaker.load(row_of("akave").breaker).probe_taken(db_now(), "somebody")
    Partner.objects.filter(name="akave").update(breaker=probing.record(db_now(), 1, 0, "somebody").dump())


def test_eight_workers_come_back_no_faster_than_one(union: Union) -> None:
    break_down(union)
    wait_half_open()
    recover(union)
    make_all_due()
    drain()
    union.sandboxes.arm_s3("put_hold", seconds=4.0)
    asked = puts(union)
    with in_thread(*[lambda: union.push("akave")] * WORKERS):
        eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))
        assert SyncJob.objects.filter(status=Status.RUNNING).count() == 1
        assert puts(union) == asked + 1
    union.settle("akave")
    union.check()


def test_a_bad_chunk_on_the_way_back_opens_it_for_longer(union: Union) -> None:
    break_down(union)
    wait_half_open()
    recover(union)
    make_all_due()
    union.sandboxes.arm_s3("put_500", skip=4, times=100_000, per_subject=1000)

    asked = puts(union)
    union.push("akave")

    assert puts(union) == asked + 8  # 1, 1, 2, and the four that showed it
    assert 50 < open_s() <= 60
    recover(union)
    union.settle("akave")
    union.check()


# --- a partner whose records take many steps


@pytest.mark.parametrize("at_half_open", [False, True])
def test_records_that_only_wait_show_that_the_partner_lives(union: Union, at_half_open: bool) -> None:
    only("akave", "vana")
    call_checked("akave")
    call_checked("vana")
    for number in range(3):
        union.hand_in(str(number))
    union.settle("akave")
    make_all_due()
    if at_half_open:
        past = datetime.now(UTC).timestamp() - 1
        Partner.objects.filter(name="vana").update(breaker=Breaker(open_until=past, trips=1).dump())

    with union.sandboxes.chain.held():
        union.push("vana")

    breaker = Breaker.load(row_of("vana").breaker)
    assert (breaker.open_until, sum(bad for _, _, bad in breaker.window)) == (None, 0)
    assert sum(good for _, good, _ in breaker.window) >= 2
    assert SyncJob.objects.filter(partner="vana").count() == 3
    union.settle("vana")
    union.check()
