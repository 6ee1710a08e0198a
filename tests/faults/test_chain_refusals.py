"""What a node, a contract or an empty purse refuses: told to staff, and gone on with by itself where that can be."""

from __future__ import annotations

from dataunion.models import ChainTx
from tests.faults.way import REGISTER_ONLY, Way


def test_a_transaction_refused_for_good_holds_up_nobody_and_gets_another_nonce(way: Way) -> None:
    """More gas than a block may hold: without something at that nonce, no later one would ever be mined."""
    way.configure(**REGISTER_ONLY, gas_factor="400")
    [refused] = way.store("one")
    way.stand()
    assert "exceeds block gas limit" in way.job().error_message
    way.configure(gas_factor="1.5")
    [behind] = way.store("two")

    way.go()

    first, *others = ChainTx.objects.order_by("nonce")
    assert (first.record, len(first.hashes), [tx.generation for tx in others]) == (refused.pk, 2, [0, 1])
    assert way.union.outcomes(behind, "vana") == ["synced"]
    assert set(way.union.outcomes(refused, "vana")) == {"transient", "synced"}
    way.assert_all_well(refused, behind, txs=3)


def test_what_is_refused_again_and_again_fails_with_a_reason_and_goes_on_once_that_is_gone(way: Way) -> None:
    way.configure(**REGISTER_ONLY, gas_factor="400")
    way.partner_has(max_attempts=4)
    [record] = way.store("one")

    way.go()

    assert (way.job().status, way.job().attempts) == ("failed", 4)
    assert "the node answered 'exceeds block gas limit'" in way.job().error_message
    assert way.new_files() == 0
    way.configure(gas_factor="1.5")
    way.retry()
    way.go()
    assert way.is_synced(record)
    way.assert_all_well(record, txs=ChainTx.objects.count())
