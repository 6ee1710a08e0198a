"""More records than a signer may have on their way: they wait their turn, and waiting costs nothing."""

from __future__ import annotations

from dataunion.models import ChainTx, SyncJob
from dataunion.sync import engine
from tests.faults.elapse import elapse
from tests.faults.way import REGISTER_ONLY, Way

BACKLOG, ROOM = 32, 6


def backlog(way: Way, records: int) -> None:
    way.configure(max_unmined=str(ROOM))
    way.store(*(f"id-{number}" for number in range(records)))


def test_a_backlog_beyond_the_signers_room_is_left_alone_until_there_is_room(way: Way) -> None:
    way.configure(**REGISTER_ONLY, poll_s="60")
    backlog(way, BACKLOG)

    assert engine.push("vana") == ROOM
    assert [engine.push("vana") for _ in range(3)] == [0, 0, 0]

    assert ChainTx.objects.count() == ROOM
    assert SyncJob.objects.filter(partner="vana", step="", fence=1).count() == BACKLOG - ROOM
    way.mine(4)
    assert engine.push("vana") == ROOM
    elapse(60)
    assert engine.push("vana") == 2 * ROOM
    assert SyncJob.objects.filter(partner="vana").count() == BACKLOG - ROOM


def test_a_backlog_drains_block_by_block(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    backlog(way, BACKLOG)

    way.go()

    assert {record.entry("vana").attempts for record in way.records()} == {1}
    way.assert_all_well(*way.records(), txs=BACKLOG)
