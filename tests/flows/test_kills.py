"""Workers that die or are told to go in the middle of a record: taken over, nothing done twice in effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataunion.models import ChainTx, DataUnion, SyncJob
from tests.flows.house import House, eventually
from tests.flows.sandboxes import Sandboxes

HOLD_S = 60.0


def held(entries: Callable[[], list[dict[str, Any]]], kind: str) -> Callable[[], bool]:
    """Return whether a request that this fault holds has come since now."""
    seen = len(entries())
    return lambda: any(entry["fault"] == kind for entry in entries()[seen:])


def test_a_worker_killed_after_its_put_is_taken_over(house: House, sandboxes: Sandboxes) -> None:
    before = sandboxes.stored_keys()
    sandboxes.arm_s3("put_hold", seconds=HOLD_S)
    is_held = held(sandboxes.s3.log, "put_hold")
    house.start("akave", "clock", "beat")
    record_id = house.hand_in("one", {"steps": 1})

    eventually(is_held)
    assert SyncJob.objects.get(partner="akave").status == "running"
    house.kill("akave")
    house.start("akave")
    eventually(lambda: house.is_synced(record_id, "akave"))

    key = house.record(record_id)["partners"]["akave"]["key"]
    assert house.outcomes(record_id, "akave") == ["crashed", "synced"]
    assert sandboxes.stored_keys() - before == {key}
    assert len(sandboxes.puts(key)) == 2
    assert len({put["sha256"] for put in sandboxes.puts(key)}) == 1


def test_a_worker_killed_after_its_broadcast_is_taken_over(house: House, sandboxes: Sandboxes) -> None:
    sandboxes.arm_chain("broadcast_hold", seconds=HOLD_S)
    is_held = held(lambda: list(sandboxes.chain.log), "broadcast_hold")
    house.start("akave", "vana", "clock", "beat")
    record_id = house.hand_in("one", {"steps": 1})

    eventually(is_held)
    assert SyncJob.objects.get(partner="vana").status == "running"
    house.kill("vana")
    house.start("vana")
    eventually(lambda: house.is_synced(record_id, "vana"))

    told = house.record(record_id)["partners"]
    assert house.outcomes(record_id, "vana") == ["crashed", "synced"]
    assert sandboxes.registered_urls()[told["akave"]["url"]] == 1
    assert sandboxes.read("registry", "fileIdByUrl", told["akave"]["url"]) == told["vana"]["file_id"]
    assert len(sandboxes.read("tee_pool", "fileJobIds", told["vana"]["file_id"])) == 1
    assert set(ChainTx.objects.values_list("generation", flat=True)) == {0}


def test_a_deploy_in_mid_chunk_burns_no_attempt(house: House, sandboxes: Sandboxes) -> None:
    sandboxes.arm_s3("put_hold", seconds=2)
    is_held = held(sandboxes.s3.log, "put_hold")
    record_ids = [house.hand_in(f"id-{number}", {"steps": number}) for number in range(5)]
    house.start("akave", "clock", "beat")

    eventually(is_held)
    house.stop("akave")

    assert not SyncJob.objects.filter(partner="akave", status="running").exists()
    house.start("akave")
    eventually(lambda: all(house.is_synced(record_id, "akave") for record_id in record_ids))
    assert [house.outcomes(record_id, "akave") for record_id in record_ids] == [["synced"]] * 5
    assert {record.entry("akave").attempts for record in DataUnion.objects.all()} == {1}
