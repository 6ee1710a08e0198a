"""What a transaction believes of a node's answers: who used a nonce, what is final, why it failed, what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from partners.base import Rewind
from partners.errors import NotReady, PermanentError, TransientError
from partners.sandbox.chain.deploy import key_address, role_key
from partners.vana import abi
from partners.vana.chain import Action
from tests.partners.vana.test_transaction import look, sent
from tests.partners.vana.world import World

STRANGER = key_address(role_key("stranger"))


def test_an_adopted_registration_counts_only_as_soon_as_its_block_is_final(world: World) -> None:
    world.node.finalized_depth = 8
    world.node.mine(8)
    partner, item, ledger = sent(world, confirmations="1")
    adopted = replace(item, saved={name: item.saved[name] for name in ("url", "owner", "permissions")})
    world.node.mine()
    adopted = world.until(partner, adopted, "send_register", ledger, first="prepare_register")

    early = look(partner, adopted)
    world.node.mine(8)

    assert isinstance(early, NotReady)
    assert early.message.endswith("is not final yet")
    assert look(partner, adopted)["file_id"] == 1


def test_a_conflict_that_shows_when_nothing_was_sent_is_doubted_at_its_own_step(world: World) -> None:
    partner, item = world.partner(), world.item()
    item = world.save(item, partner.keys(item))
    world.register_as("stranger", item.saved["url"], STRANGER, [])

    with pytest.raises(PermanentError, match="belongs to somebody else"):
        world.insist(partner, "confirm_register", item)


def test_who_used_a_nonce_is_looked_at_again_after_a_poll(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.drop(item.saved["register_tx"]["hashes"][0])
    world.transact("signer", Action(to=world.addresses.dlp, data="0x"), nonce=item.saved["register_tx"]["nonce"])
    world.node.mine(7)

    first = look(partner, item)

    assert (first.step, first.after_s) == ("confirm_register", partner.settings.poll_s)


def test_a_failed_transactions_cause_is_named_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    partner, item, _ = sent(world)
    data = abi.ADD_FILE.encode(item.saved["url"], STRANGER, [])
    world.transact("stranger", Action(to=world.addresses.registry, data=data), gwei=50)
    world.node.mine()
    block = world.node.head.number

    with caplog.at_level(logging.WARNING, logger="partners.vana.transaction"):
        back = world.answer(partner, "confirm_register", item)

    assert isinstance(back, Rewind)
    assert caplog.messages == [f"vana register reverted in block {block}: FileUrlAlreadyUsed"]


def test_an_unwanted_transaction_that_waits_at_the_node_is_left_alone(world: World) -> None:
    partner, item, _ = sent(world)
    unsaved = {name: value for name, value in item.saved["register_tx"].items() if name != "sent_at"}
    item = replace(item, saved={**item.saved, "register_tx": unsaved})
    data = abi.ADD_FILE.encode(item.saved["url"], STRANGER, [])
    theirs = world.transact("stranger", Action(to=world.addresses.registry, data=data), gwei=50)
    world.node.mine(at_most=1, first=[theirs])

    answer = look(partner, item, "send_register")

    assert partner.client.nonce(partner.signer, "latest") == unsaved["nonce"]
    assert answer == {"register_tx": {**unsaved, "sent_at": world.node.head.number}}


def test_a_refusal_of_the_node_is_passed_over_once_the_chain_has_used_the_nonce(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "prepare_register", ledger)
    too_much = {**item.saved["register_tx"], "gas": world.node.head.header.gas_limit + 1}
    item = replace(item, saved={**item.saved, "register_tx": too_much})
    item = world.until(partner, item, "sign_register", ledger, first="sign_register")

    refused = look(partner, item, "send_register")
    world.transact("signer", Action(to=world.addresses.dlp, data="0x"), nonce=item.saved["register_tx"]["nonce"])
    still_refused = look(partner, item, "send_register")
    world.node.mine()
    passed = look(partner, item, "send_register")

    for answer in (refused, still_refused):
        assert isinstance(answer, TransientError)
        assert "exceeds block gas limit" in answer.message
    assert passed == {"register_tx": {**item.saved["register_tx"], "sent_at": world.node.head.number}}
