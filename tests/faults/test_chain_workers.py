"""Several workers and one signer; workers that die between signing, sending and saving; a lease that is lost."""

from __future__ import annotations

import pytest

from dataunion import ledger
from dataunion.models import NEVER, ChainTx, Signer
from dataunion.sync import engine
from tests.dataunion.work import at_once
from tests.faults.elapse import elapse
from tests.faults.forks import KILLED, Forks
from tests.faults.way import REGISTER_ONLY, Way
from tests.flows.house import LEASE_S, eventually

HOLD_S = 1.0


def push() -> int:
    return engine.push("vana")


def test_of_workers_in_threads_one_signs_at_a_time(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    records = way.store(*(f"id-{number}" for number in range(6)))

    for _ in range(4):
        found = at_once(push, push, push)
        assert not [one for one in found if isinstance(one, Exception)]
        way.pass_time()
    way.go()

    assert len(way.hashes()) == 6
    way.assert_all_well(*records, txs=6)


def test_of_workers_in_processes_one_signs_at_a_time(way: Way, forks: Forks) -> None:
    way.configure(**REGISTER_ONLY)
    records = way.store(*(f"id-{number}" for number in range(6)))

    for _ in range(3):
        running = [forks.start("push", "vana") for _ in range(2)]
        assert [worker.wait() for worker in running] == [0, 0]
        way.pass_time()
    way.go()

    assert len(way.hashes()) == 6
    way.assert_all_well(*records, txs=6)


@pytest.mark.parametrize(
    ("crash", "signed", "sent"),
    [
        ("chaintxs insert 1", 0, 0),
        ("syncjobs.saved update 3", 1, 0),
        ("syncjobs.saved update 3 after", 1, 0),
        ("syncjobs.saved update 4", 1, 1),
        ("syncjobs.saved update 4 after", 1, 1),
    ],
)
def test_what_a_dead_worker_signed_is_sent_by_the_next_one(
    way: Way, forks: Forks, crash: str, signed: int, sent: int
) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")

    assert forks.run("push", "vana", crash=crash) == KILLED
    assert (ChainTx.objects.count(), len(way.broadcasts())) == (signed, sent)
    assert push() == 0
    elapse(LEASE_S + 1)
    way.union.tick()
    way.go()

    assert len(way.hashes()) == 1
    assert way.union.outcomes(record, "vana") == ["crashed", "synced"]
    way.assert_all_well(record, txs=1)


def test_a_signed_transaction_is_sent_even_if_its_record_is_never_looked_at_again(way: Way, forks: Forks) -> None:
    way.configure(**REGISTER_ONLY)
    way.store("one")
    assert forks.run("push", "vana", crash="syncjobs.saved update 3") == KILLED
    dead = way.job()
    elapse(LEASE_S + 1)
    [other] = way.store("two")

    way.stand()

    assert way.broadcast_count(ChainTx.objects.get(record=dead.record_id).hashes[0]) == 1
    way.go()
    way.assert_all_well(*way.records(), txs=2)


def test_who_lost_the_signer_in_mid_chunk_signs_nothing_more(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.sandboxes.arm_chain("rpc_timeout", match="eth_estimateGas", seconds=HOLD_S)

    def take_it_away() -> ledger.SignerLease | None:
        eventually(lambda: any(one["fault"] == "rpc_timeout" for one in way.sandboxes.chain_log()))
        Signer.objects.update(lease_until=NEVER)
        return ledger.take_signer(chain_id=way.addresses.chain_id, address=way.signer, max_unmined=16)

    pushed, thief = at_once(push, take_it_away)

    assert pushed == 1
    assert (ChainTx.objects.count(), way.job().step) == (0, "sign_register")
    assert Signer.objects.get().lease_token == thief.token
    thief.let_go()
    way.go()
    assert way.union.outcomes(record, "vana") == ["synced"]
    way.assert_all_well(record, txs=1)


def test_who_was_silent_for_too_long_neither_signs_nor_saves_beside_the_next_worker(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.sandboxes.arm_chain("rpc_timeout", match="eth_estimateGas", seconds=HOLD_S)

    def take_over() -> int:
        eventually(lambda: any(one["fault"] == "rpc_timeout" for one in way.sandboxes.chain_log()))
        elapse(3600)
        way.union.tick()
        return push()

    at_once(push, take_over)
    way.go()

    assert len(way.hashes()) == 1
    assert way.union.outcomes(record, "vana") == ["crashed", "synced"]
    way.assert_all_well(record, txs=1)
