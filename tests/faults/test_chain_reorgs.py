"""Blocks that are replaced by others: what they held comes back, elsewhere or never, and the entry says what is so."""

from __future__ import annotations

import pytest

from tests.faults.way import REGISTER_ONLY, Way


def go_mined(way: Way, purpose: str, blocks: int) -> str:
    """Go on until the transaction for this is so many blocks deep; return its hash."""
    sent = way.go_broadcast(purpose)
    way.mine(blocks)
    way.union.wait_for_next("vana")
    way.stand()
    assert way.job().step == f"confirm_{purpose}"
    return sent


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_registration_that_comes_back_in_another_block_is_told_with_that_block(way: Way, depth: int) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    sent = go_mined(way, "register", depth)
    old = way.node.find_mined(sent)

    way.node.reorg(depth, empty=True)
    way.go()

    new = way.node.find_mined(sent)
    assert old is not None
    assert new is not None
    assert new[0].number > old[0].number
    assert way.union.entry(record, "vana")["block"] == new[0].number
    assert way.hashes() == [sent]
    way.assert_all_well(record, txs=1)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_registration_that_does_not_come_back_is_sent_again(way: Way, depth: int) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    sent = go_mined(way, "register", depth)

    way.node.reorg(depth, drop=[sent], empty=True)
    assert way.file_id(record) == 0
    way.go()

    assert [one["tx_hash"] for one in way.broadcasts()] == [sent, sent]
    way.assert_all_well(record, txs=1)


def test_a_file_id_that_changes_with_its_block_is_the_one_that_is_told(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    go_mined(way, "register", 2)
    before = way.file_id(record)

    stranger = way.register_as_stranger(f"{way.url(record)}/other")
    way.node.reorg(2, first=[stranger])
    way.go()

    assert way.file_id(record) == before + 1 == way.union.entry(record, "vana")["file_id"]
    assert len(way.hashes()) == 1
    way.assert_all_well(record, txs=1, strangers=1)


@pytest.mark.parametrize("purpose", ["request_proof", "reward"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_what_is_paid_is_paid_once_whatever_becomes_of_its_block(way: Way, purpose: str, comes_back: bool) -> None:
    [record] = way.store("one")
    sent = go_mined(way, purpose, 1)

    way.node.reorg(1, drop=[] if comes_back else [sent], empty=True)
    way.go()

    assert way.broadcast_count(sent) == (1 if comes_back else 2)
    way.assert_all_well(record, txs=3)


def test_a_few_confirmations_are_not_taken_for_the_end_where_the_chain_names_one(way: Way) -> None:
    way.node.finalized_depth = 10
    way.configure(**REGISTER_ONLY, confirmations="2")
    [record] = way.store("one")
    sent = go_mined(way, "register", 6)

    way.node.reorg(6, drop=[sent], empty=True)
    assert not way.is_synced(record)
    way.go()

    assert way.broadcast_count(sent) == 2
    way.assert_all_well(record, txs=1)


def test_a_reverted_transaction_whose_block_vanishes_is_looked_at_again(way: Way) -> None:
    """A stranger's registration came first, ours failed; then both blocks vanish and ours comes first."""
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    sent = way.go_broadcast("register")
    theirs = way.register_as_stranger(way.url(record), gwei=50)
    way.mine()
    way.union.wait_for_next("vana")
    way.stand()
    assert way.sandboxes.read("registry", "files", way.file_id(record))[1].lower() != way.signer.lower()

    way.node.reorg(1, first=[sent])
    way.go()

    found = way.node.find_mined(theirs)
    assert found is not None
    assert not found[2].status
    way.assert_all_well(record, txs=1)
