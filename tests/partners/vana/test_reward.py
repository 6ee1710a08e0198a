"""A reward is asked for once; a file that has it is done; a proof that the DLP refuses is for people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partners.base import Item
from partners.errors import NotReady, PermanentError, TransientError
from partners.testing import MemoryLedger, ask
from partners.vana import abi
from partners.vana.adapter import VanaPartner
from partners.vana.chain import Action, Log, Receipt
from tests.partners.vana.world import World

Flow = tuple[VanaPartner, MemoryLedger, Item]
ONE = 10**18
NOTHING = Receipt(tx_hash="0x", block=1, succeeded=True, to="0x", logs=())


@pytest.fixture
def proved(world: World) -> Flow:
    world.start_tee()
    partner = world.partner(request_proof="yes", reward="yes")
    ledger = world.ledger(partner)
    return partner, ledger, world.until(partner, world.item(), "await_proof", ledger)


def reward_as(world: World, role: str) -> None:
    world.transact(role, Action(to=world.addresses.dlp, data=abi.REQUEST_REWARD.encode(1, 1)))
    world.node.mine()


def test_a_proved_file_is_rewarded(world: World, proved: Flow) -> None:
    partner, ledger, item = proved

    done = world.until(partner, item, "confirm_reward", ledger, first="prepare_reward")

    last = world.broadcasts()[-1]["tx_hash"]
    assert done.saved["reward"] == {"amount": str(ONE), "tx_hash": last}
    assert partner.receipt(done)["reward"] == done.saved["reward"]
    balance = abi.function("balanceOf(address)", "uint256")
    assert partner.client.read(world.addresses.dlp, balance, partner.signer) == ONE


def test_a_rewarded_file_is_done(world: World, proved: Flow) -> None:
    partner, ledger, item = proved
    reward_as(world, "stranger")
    before = len(world.broadcasts())

    done = world.until(partner, item, "confirm_reward", ledger, first="prepare_reward")

    assert done.saved["reward"] == {}
    assert len(world.broadcasts()) == before


def test_who_was_overtaken_on_the_way_is_done_too(world: World, proved: Flow) -> None:
    partner, ledger, item = proved
    item = world.until(partner, item, "send_reward", ledger, first="prepare_reward")
    world.node.drop(world.broadcasts()[-1]["tx_hash"])
    reward_as(world, "stranger")

    back = world.answer(partner, "confirm_reward", item)
    done = world.until(partner, world.save(item, back), "confirm_reward", ledger, first="prepare_reward")

    assert back.step == "prepare_reward"
    assert done.saved["reward"] == {}


def test_a_proof_that_is_not_the_dlps_is_for_people(world: World, proved: Flow) -> None:
    partner, _, item = proved
    other = {**item.saved, "proof": {**item.saved["proof"], "index": 5}}

    with pytest.raises(PermanentError) as refused:
        world.insist(partner, "prepare_reward", replace(item, saved=other))

    assert (refused.value.error_class, refused.value.code) == ("proof", "InvalidProof")


def test_a_node_that_lags_behind_the_proof_does_not_call_its_reward_off(world: World, proved: Flow) -> None:
    partner, ledger, item = proved
    item = world.until(partner, item, "sign_reward", ledger, first="prepare_reward")
    world.arm("rpc_behind", match="eth_(estimateGas|getBlockByNumber)", times=2, seconds=20)

    [waits] = ask(partner, "send_reward", [item])
    [sent] = ask(partner, "send_reward", [item])

    assert isinstance(waits, NotReady)
    assert waits.message == "vana: reward: the node lags behind another one; asked again"
    assert sent == {"reward_tx": {**item.saved["reward_tx"], "sent_at": world.node.head.number}}


def test_a_paused_dlp_is_tried_again(world: World, proved: Flow) -> None:
    partner, _, item = proved
    world.chain.admin.transact("dlp", "pause")

    [refused] = ask(partner, "prepare_reward", [item])

    assert isinstance(refused, TransientError)
    assert (refused.code, refused.retry_after_s) == ("EnforcedPause", 0.1)


def test_a_receipt_without_our_reward_is_looked_at_again(proved: Flow) -> None:
    partner, _, item = proved

    assert partner._reward.purpose.read(item, NOTHING) is None


def test_logs_of_other_shapes_are_skipped(proved: Flow) -> None:
    partner, _, item = proved
    ours = (abi.REWARD_REQUESTED, abi.number_topic(7), abi.number_topic(1), abi.number_topic(1))
    amount = abi.number_topic(5)
    odd = (Log(topics=(), data=amount), Log(topics=ours[:2], data=amount), Log(topics=ours, data="0x"))
    receipt = replace(NOTHING, logs=(*odd, Log(topics=ours, data=amount)))

    assert partner._reward.purpose.read(item, receipt) == {"reward": {"amount": "5", "tx_hash": "0x"}}
