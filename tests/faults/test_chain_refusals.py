"""What a node, a contract or an empty purse refuses: told to staff, and gone on with by itself where that can be."""

from __future__ import annotations

from dataunion import roster
from dataunion.models import ChainTx
from partners.vana.transaction import WAIT_AT_MOST_S
from tests.faults.elapse import elapse
from tests.faults.way import REGISTER_ONLY, RICH_WEI, Way


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


def test_a_signer_without_money_pauses_the_partner_by_name_and_goes_on_once_funded(way: Way) -> None:
    records = way.store("one", "two", "three")
    way.stand()
    way.set_balance(10**13)

    for _ in range(8):
        way.mine()
        way.union.wait_for_next("vana")
        way.stand()

    told = way.partner()
    assert (told.state, told.state_by) == ("paused", "system")
    assert way.signer in told.state_reason
    assert "holds 0.000010 of" in told.state_reason
    assert "fund" in told.state_reason
    assert {job.attempts for job in way.jobs()} == {0}
    way.set_balance(RICH_WEI)
    roster.resume(told, by="staff")
    way.go()
    assert {outcome for record in records for outcome in way.union.outcomes(record, "vana")[:-1]} <= {"misconfigured"}
    way.assert_all_well(*records, txs=9)


def test_too_little_gas_is_followed_by_a_transaction_with_more(way: Way) -> None:
    way.configure(**REGISTER_ONLY, gas_factor="0.8")
    [record] = way.store("one")

    way.go()

    first, second = ChainTx.objects.order_by("nonce")
    assert not way.mined(first.hashes[0]).status
    assert way.mined(second.hashes[0]).status
    way.assert_all_well(record, txs=2)


def test_gas_above_the_cap_is_waited_out_and_told(way: Way) -> None:
    way.configure(**REGISTER_ONLY, max_fee_gwei="0.000001")
    way.partner_has(max_attempts=1)
    [record] = way.store("one")

    for _ in range(2):
        way.stand()
        assert ChainTx.objects.count() == 0
        elapse(WAIT_AT_MOST_S + 60)
    way.stand()

    job = way.job()
    assert (job.status, job.attempts, way.broadcasts()) == ("pending", 0, [])
    assert "waiting until max_fee_gwei pays for it, or raise that" in (job.waits_for or "")
    way.configure(max_fee_gwei="100")
    way.go()
    way.assert_all_well(record, txs=1)


def test_a_price_that_rises_above_the_cap_in_mid_way_is_waited_out(way: Way) -> None:
    """Signed at today's price, then the cap is lowered below what a replacement costs: ours stays in the pool."""
    way.configure(**REGISTER_ONLY, stuck_blocks="2")
    [record] = way.store("one")
    sent = way.go_broadcast("register")
    way.configure(max_fee_gwei="0.001")
    way.node.mine(4, at_most=0)
    way.union.wait_for_next("vana")

    way.stand()

    assert (way.job().status, way.job().step) == ("pending", "confirm_register")
    way.go()
    assert way.hashes() == [sent]
    way.assert_all_well(record, txs=1)


def test_a_paused_registry_is_waited_out_at_no_cost(way: Way) -> None:
    [record, other] = way.store("one", "two")
    way.union.push("vana")
    way.node.drop(way.hashes()[0])
    with way.changed("registry", ("pause", []), ("unpause", [])):
        for _ in range(16):
            way.mine()
            way.union.wait_for_next("vana")
            way.stand()
        assert way.new_files() < 2
        assert {job.attempts for job in way.jobs()} <= {0}

    way.go()

    way.assert_all_well(record, other, txs=ChainTx.objects.count())
