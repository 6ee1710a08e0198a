"""A partner that takes connections and never answers: what the others, the web server and staff notice of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import pytest

from dataunion.clock import db_now
from dataunion.models import DataUnion, Partner, SyncJob
from partners.breaker import OPEN, Breaker
from tests.faults import holes
from tests.faults.acts import call_checked, only, row_of, set_options
from tests.faults.elapse import elapse
from tests.faults.oracle import slowdown
from tests.faults.union import Union
from tests.flows.house import House, eventually

SPACING_S, DELIVERY_S = 0.1, 0.4  # a record is handed in so often, and a healthy receiver needs so long for it
PER_PHASE = 25
TIMEOUT_S = 2.0


def waited_s(record_id: str, partner: str) -> float:
    """Return how long it took from handing in to synced."""
    record = DataUnion.objects.get(pk=record_id)
    synced_at = record.entry(partner).synced_at
    assert synced_at
    return (datetime.fromisoformat(synced_at) - record.created_at).total_seconds()


def hand_in(house: House, phase: str, number: int) -> tuple[list[str], list[float]]:
    """Hand records in by REST at an even pace; return their ids, and how long the web server took for each."""
    ids, answered_s = [], []
    for index in range(number):
        began = time.monotonic()
        ids.append(house.hand_in(f"{phase}-{index}", {"note": "bulkhead"}))
        answered_s.append(time.monotonic() - began)
        time.sleep(max(0.0, SPACING_S - answered_s[-1]))
    return ids, answered_s


def wait_synced(ids: Sequence[str], *partners: str) -> None:
    def are_synced() -> bool:
        records = DataUnion.objects.filter(pk__in=ids)
        return all(record.entry(partner).is_synced for record in records for partner in partners)

    eventually(are_synced)


def go_dark(union: Union) -> None:
    union.sandboxes.arm_s3("put_timeout", times=100_000, per_subject=1000, seconds=60)


def come_back(union: Union) -> None:
    """Let the storage be well, and everybody know it."""
    union.sandboxes.s3.faults.disarm()
    Partner.objects.filter(name="akave").update(breaker=None)
    SyncJob.objects.filter(partner="akave").update(due_at=db_now())
    eventually(lambda: not SyncJob.objects.filter(partner="akave").exists())


@pytest.mark.alone
def test_a_black_hole_slows_down_no_other_partner_nor_the_web_server(house: House, union: Union) -> None:
    only("akave", "hook")
    set_options("akave", read_timeout_s=str(TIMEOUT_S))
    call_checked("hook")
    house.start("akave", "hook", "ticker", "beat")
    warm, _ = hand_in(house, "warm", 5)
    wait_synced(warm, "hook", "akave")
    union.sandboxes.arm_hook("hook_hold", times=100_000, seconds=DELIVERY_S)
    well: list[str] = []
    dark: list[str] = []
    web: dict[str, list[float]] = {"well": [], "dark": []}

    for round_ in range(2):
        ids, answered_s = hand_in(house, f"well-{round_}", PER_PHASE)
        wait_synced(ids, "hook", "akave")
        well += ids
        web["well"] += answered_s
        go_dark(union)
        ids, answered_s = hand_in(house, f"dark-{round_}", PER_PHASE)
        wait_synced(ids, "hook")
        assert not any(record.entry("akave").is_synced for record in DataUnion.objects.filter(pk__in=ids))
        dark += ids
        web["dark"] += answered_s
        come_back(union)

    assert slowdown(web["well"], web["dark"]) < 2
    union.check(
        baseline_s=[waited_s(record, "hook") for record in well],
        healthy_s=[waited_s(record, "hook") for record in dark],
        logs=[house.logs],
    )


# --- one worker for all, as in a small deployment


def test_one_worker_for_all_partners_is_held_up_for_two_timeouts_and_no_longer(house: House, union: Union) -> None:
    only("akave")
    set_options("akave", read_timeout_s="3")
    call_checked("hook")
    go_dark(union)
    for number in range(60):
        union.hand_in(f"before-{number}")
    Partner.objects.filter(name="hook").update(state="on")
    house.start("all", "beat")
    eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))

    ids, answered_s = hand_in(house, "during", 20)
    wait_synced(ids, "hook")

    asked = [entry for entry in union.sandboxes.storage_log() if entry["method"] == "PUT"]
    assert max(waited_s(record, "hook") for record in ids) < 2 * 3 + 6
    assert len(asked) <= 10 + 8 + 2  # what opened the breaker, and a probe or two
    assert max(answered_s) < 3
    come_back(union)
    union.check(logs=[house.logs])


@pytest.mark.parametrize("number", [1, 3])
def test_few_records_at_a_black_hole_take_less_and_less_of_a_workers_time(union: Union, number: int) -> None:
    only("akave")
    set_options("akave", read_timeout_s="0.2")
    go_dark(union)
    for index in range(number):
        union.hand_in(str(index))
    asked = 0
    for _ in range(60):
        before = len(union.sandboxes.storage_log())
        union.push("akave")
        asked += len(union.sandboxes.storage_log()) > before
        elapse(2)

    assert asked <= 9  # in two minutes
    union.sandboxes.s3.faults.disarm()
    union.settle("akave")
    union.check()


def test_a_node_that_is_a_black_hole_is_looked_at_twice(union: Union) -> None:
    only("akave", "vana")
    record = union.hand_in()
    union.settle("akave")
    with holes.black_hole() as url:
        set_options("vana", rpc_url=url, rpc_timeout_s="0.3")
        took_s = []
        for _ in range(6):
            Partner.objects.filter(name="vana").update(not_before=db_now())
            began = time.monotonic()
            union.push("vana")
            took_s.append(time.monotonic() - began)

    assert [seconds > 0.3 for seconds in took_s] == [True, True, False, False, False, False]
    assert Breaker.load(row_of("vana").breaker).state(db_now()) == OPEN
    set_options("vana", rpc_url=union.sandboxes.chain.rpc_url, rpc_timeout_s="10")
    union.settle("vana")
    assert union.is_synced(record, "vana")
    union.check()
