"""The matrix' own ground: without a fault every record reaches every partner, in this process and in others."""

from __future__ import annotations

from tests.faults.union import Union
from tests.flows.house import House, eventually
from tests.flows.sandboxes import Sandboxes


def test_without_faults_everything_is_synced(union: Union) -> None:
    records = [union.hand_in(f"id-{number}") for number in range(3)]

    union.settle()

    assert all(union.is_synced(record) for record in records)
    union.check()


def test_without_faults_the_processes_sync_everything(house: House, union: Union, sandboxes: Sandboxes) -> None:
    house.start("akave", "vana", "clock", "beat")
    record = union.hand_in()

    eventually(lambda: union.is_synced(record))

    assert len(sandboxes.stored_keys()) == 1
    union.check(logs=[house.logs])
