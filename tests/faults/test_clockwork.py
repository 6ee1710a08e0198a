"""The clock's processes: several beats, none for an hour, and then everything at once."""

from __future__ import annotations

from collections import Counter

from dataunion.models import Partner, SyncAttempt, SyncJob
from tests.faults.elapse import elapse
from tests.faults.oracle import MARKER
from tests.faults.union import Union
from tests.flows.house import PATIENCE_S, WORKERS, House, eventually
from tests.flows.sandboxes import Sandboxes

HOUR_S = 3600.0
BURST = 30  # ticks at once


def tick_often(house: House) -> None:
    """Have beat's own message lie in the queue so many times, as if nobody had taken any for long."""
    [message] = eventually(lambda: house.ask_broker(lambda broker: broker.lrange("dataunion", 0, 0)))
    house.ask_broker(lambda broker: broker.rpush("dataunion", *[message] * BURST))


def test_an_hour_without_beat_and_then_three_and_a_burst_of_ticks_do_everything_once(
    house: House, union: Union, sandboxes: Sandboxes
) -> None:
    sandboxes.arm_s3("put_500", times=2)
    early = [union.hand_in(f"early-{number}") for number in range(4)]
    union.push("akave")
    assert Counter(SyncAttempt.objects.values_list("outcome", flat=True)) == {"synced": 2, "transient": 2}
    elapse(HOUR_S)
    late = [union.hand_in(f"late-{number}") for number in range(4)]

    house.start("beat", "beat2", "beat3")
    tick_often(house)
    house.kill("beat3")
    house.start("beat3")  # with the schedule that the killed one left
    house.start("all", "all2")
    eventually(lambda: not SyncJob.objects.exists(), within_s=2 * PATIENCE_S)

    assert all(union.is_synced(record) for record in early + late)
    outcomes = Counter(SyncAttempt.objects.values_list("partner", "outcome"))
    done = {(partner, "synced"): 8 for partner in ("akave", "vana", "hook")}
    assert outcomes == {**done, ("akave", "transient"): 2}
    puts = Counter(entry["key"] for entry in sandboxes.storage_log() if entry["method"] == "PUT")
    assert Counter(puts.values()) == {1: 6, 2: 2}
    messages = Counter(entry["id"] for entry in sandboxes.hook_log() if "ping" not in entry["id"])
    assert Counter(messages.values()) == {1: 8}
    assert house.has_ended("beat3") is None
    union.check(logs=[house.logs])


def is_idle(house: House, worker: str) -> bool:
    """Say whether a worker has done all that it was told, and nobody has told it anything since."""
    log = (house.logs / f"{worker}.log").read_bytes()
    waiting = house.ask_broker(lambda broker: [broker.llen(name) for name in WORKERS[worker].split(",")])
    return not any(waiting) and log.count(b"] received") == log.count(b"] succeeded") > 0


def test_without_beat_failed_work_waits_and_goes_on_when_beat_is_back(
    house: House, union: Union, sandboxes: Sandboxes
) -> None:
    Partner.objects.exclude(name="akave").update(state="off")
    sandboxes.arm_s3("put_500", times=2, per_subject=2)
    house.start("akave2")
    record_id = house.hand_in("one", {"note": MARKER})
    eventually(lambda: SyncJob.objects.filter(status="retrying").exists() and is_idle(house, "akave2"))
    asked = len(sandboxes.storage_log())

    elapse(HOUR_S)

    assert is_idle(house, "akave2")
    assert SyncJob.objects.get().status == "retrying"
    assert len(sandboxes.storage_log()) == asked
    Partner.objects.update(backoff_base_s=0.2)
    house.start("beat", "ticker")
    eventually(lambda: house.is_synced(record_id, "akave"))
    assert house.outcomes(record_id, "akave") == ["transient", "transient", "synced"]
    assert set(SyncAttempt.objects.values_list("trigger", flat=True)) == {"ingest"}  # nobody asked for it
    union.check(logs=[house.logs])
