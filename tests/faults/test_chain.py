"""Each transaction of Vana's way meets each trouble on its way to a block: one registration, one proof, one reward."""

from __future__ import annotations

import pytest

from dataunion.models import ChainTx
from partners.vana.transaction import WAIT_AT_MOST_S
from tests.faults.elapse import elapse
from tests.faults.way import PURPOSES, REGISTER_ONLY, Way


@pytest.mark.parametrize("step", PURPOSES)
def test_a_lost_answer_after_a_broadcast_leads_to_no_second_transaction(way: Way, step: str) -> None:
    [record] = way.store("one")
    way.sandboxes.arm_chain("broadcast_lost_response", match=way.signer.lower(), skip=PURPOSES.index(step))

    way.go()

    assert [sent["fault"] for sent in way.broadcasts()].count("broadcast_lost_response") == 1
    assert len(way.hashes()) == 3
    assert way.union.outcomes(record, "vana") == ["unknown", "synced"]
    way.assert_all_well(record, txs=3)


def test_with_all_answers_lost_each_transaction_is_still_sent_once(way: Way) -> None:
    [record] = way.store("one")
    way.sandboxes.arm_chain("broadcast_lost_response", times=3, match=way.signer.lower())

    way.go()

    assert len(way.hashes()) == 3
    assert way.union.outcomes(record, "vana") == ["unknown", "unknown", "unknown", "synced"]
    way.assert_all_well(record, txs=3)


@pytest.mark.parametrize("step", PURPOSES)
def test_a_transaction_dropped_from_the_mempool_is_sent_again(way: Way, step: str) -> None:
    [record] = way.store("one")
    dropped = way.go_broadcast(step)

    assert way.node.drop(dropped)
    way.go()

    assert [sent["tx_hash"] for sent in way.broadcasts()].count(dropped) == 2
    assert len(way.hashes()) == 3
    assert way.union.outcomes(record, "vana") == ["synced"]
    way.assert_all_well(record, txs=3)


def test_a_transaction_that_no_block_takes_pays_more_and_survives_being_dropped(way: Way) -> None:
    way.configure(**REGISTER_ONLY, stuck_blocks="4")
    [record] = way.store("one")
    first = way.go_broadcast("register")

    way.node.mine(5, at_most=0)
    way.union.wait_for_next("vana")
    way.stand()
    second = way.hashes()[-1]
    assert way.node.pool.hashes() == [second]
    way.node.drop(second)
    way.go()

    assert way.hashes() == [first, second]
    assert way.union.entry(record, "vana")["tx_hash"] == second
    assert ChainTx.objects.get().hashes == [first, second]
    way.assert_all_well(record, txs=1)


def test_the_transaction_that_we_replaced_may_be_the_one_that_is_mined(way: Way) -> None:
    way.configure(**REGISTER_ONLY, stuck_blocks="4")
    [record] = way.store("one")
    first = way.go_broadcast("register")
    old = way.node.pool.find(first)
    assert old is not None
    way.node.mine(5, at_most=0)
    way.union.wait_for_next("vana")
    way.stand()

    way.node.drop(way.hashes()[-1])
    way.node.submit(old)
    way.mine()
    way.go()

    assert len(way.hashes()) == 2
    assert way.union.entry(record, "vana")["tx_hash"] == first
    way.assert_all_well(record, txs=1)


@pytest.mark.parametrize("step", PURPOSES)
def test_a_nonce_that_somebody_else_used_leads_to_a_new_one(way: Way, step: str) -> None:
    """Another program that has our key takes the nonce: ours can never be mined."""
    [record] = way.store("one")
    ours = way.go_broadcast(step)

    way.node.drop(ours)
    way.transact("signer", "0x", to=way.signer, nonce=way.nonce(), gwei=50)
    way.go()

    assert len(way.hashes()) == 4
    assert sorted(ChainTx.objects.values_list("generation", flat=True)) == [0, 0, 0, 1]
    assert way.union.outcomes(record, "vana") == ["synced"]
    way.assert_all_well(record, txs=4)


def test_a_gap_before_other_transactions_is_closed_by_the_one_that_was_dropped(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    records = way.store("one", "two", "three")
    way.stand()
    hashes, first = way.hashes(), ChainTx.objects.order_by("nonce")[0]

    way.node.drop(first.hashes[0])
    way.mine(3)
    assert way.nonce() == first.nonce
    way.go()

    assert way.hashes() == hashes
    way.assert_all_well(*records, txs=3)


def test_what_a_node_only_seemed_to_accept_is_sent_again(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.sandboxes.arm_chain("broadcast_dropped", times=2)

    way.go()

    assert len(set(way.hashes())) == 1
    assert len(way.broadcasts()) >= 2
    way.assert_all_well(record, txs=1)


def test_what_is_mined_after_we_gave_up_is_found_by_a_retry(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    way.partner_has(max_attempts=1)
    [record] = way.store("one")
    way.go_broadcast("register")

    for _ in range(2):
        elapse(WAIT_AT_MOST_S + 60)
        way.stand()
    job = way.job()
    assert (job.status, job.step) == ("failed", "confirm_register")
    assert "the transaction waits to be mined" in job.error_message
    way.mine(4)
    way.retry()
    way.go()

    assert len(way.hashes()) == 1
    assert way.union.outcomes(record, "vana") == ["transient", "synced"]
    way.assert_all_well(record, txs=1)


def test_what_is_mined_while_nobody_asks_is_no_second_nonce(way: Way) -> None:
    """A job that failed keeps its nonce filled: the next record's worker broadcasts what the node lost."""
    way.configure(**REGISTER_ONLY)
    way.partner_has(max_attempts=1)
    [one] = way.store("one")
    lost = way.go_broadcast("register")
    for _ in range(2):
        elapse(WAIT_AT_MOST_S + 60)
        way.stand()
    assert way.job().status == "failed"

    way.node.drop(lost)
    [two] = way.store("two")
    way.go()
    assert way.is_synced(two)
    way.retry()
    way.go()

    assert way.hashes()[0] == lost
    assert len(way.hashes()) == 2
    way.assert_all_well(one, two, txs=2)
