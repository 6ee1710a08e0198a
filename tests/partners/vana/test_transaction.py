"""What becomes of a transaction: lost, dropped, stuck, replaced, reverted, reorganised away, registered once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partners.base import Item, Rewind
from partners.errors import MisconfiguredError, NotReady, TransientError, UnknownOutcome
from partners.testing import MemoryLedger, ask
from partners.vana.adapter import VanaPartner
from partners.vana.chain import Action
from tests.partners.vana.node import error, start_node
from tests.partners.vana.world import World


def sent(world: World, **options: str) -> tuple[VanaPartner, Item, MemoryLedger]:
    """Return an item whose registration has been sent."""
    partner = world.partner(**options)
    ledger = world.ledger(partner)
    return partner, world.until(partner, world.item(), "send_register", ledger), ledger


def look(partner: VanaPartner, item: Item, step: str = "confirm_register") -> Any:
    """Run a step once."""
    return ask(partner, step, [item])[0]


def finish(world: World, partner: VanaPartner, item: Item, ledger: MemoryLedger, answer: Any) -> Item:
    """Follow an answer, Rewinds too, until the item is registered for good."""
    steps = partner.active_steps(item.kind)
    step = "confirm_register"
    for _ in range(50):
        item = world.save(item, answer)
        step = answer.step if isinstance(answer, Rewind) else steps[steps.index(step) + 1]
        if step == "forget":
            return item
        answer = world.answer(partner, step, item, ledger)
    raise AssertionError("it never ended")


def files(world: World) -> int:
    return world.count("registry", "filesCount")


def hashes(world: World) -> list[str]:
    return list(dict.fromkeys(entry["tx_hash"] for entry in world.broadcasts()))


def test_a_lost_answer_to_a_broadcast_is_no_second_transaction(world: World) -> None:
    partner = world.partner()
    world.arm("broadcast_lost_response")
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "sign_register", ledger)

    lost = look(partner, item, "send_register")
    done = world.until(partner, item, "confirm_register", ledger, first="send_register")

    assert isinstance(lost, UnknownOutcome)
    assert (files(world), hashes(world)) == (1, [done.saved["tx_hash"]])


def test_a_broadcast_that_the_node_forgot_is_repeated(world: World) -> None:
    world.arm("broadcast_dropped")
    partner, item, _ = sent(world)

    done = world.save(item, world.answer(partner, "confirm_register", item))

    assert (done.saved["file_id"], len(world.broadcasts())) == (1, 2)
    assert len(hashes(world)) == 1


def test_a_transaction_dropped_from_the_mempool_is_sent_again(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.drop(item.saved["register_tx"]["hashes"][0])

    waits = look(partner, item)

    assert isinstance(waits, NotReady)
    assert partner.client.known(item.saved["register_tx"]["hashes"]) == [True]


def test_what_was_mined_after_a_crash_is_adopted(world: World) -> None:
    partner, item, ledger = sent(world)
    crashed = replace(item, saved={name: item.saved[name] for name in ("url", "owner", "permissions")})
    world.node.mine()

    (done,) = world.run(partner, crashed, ledger=ledger)

    assert (files(world), hashes(world)) == (1, [done.saved["tx_hash"]])


def test_with_all_results_lost_the_signed_transaction_is_still_the_one(world: World) -> None:
    partner, item, ledger = sent(world)
    forgotten = replace(item, saved={"url": item.saved["url"]})

    (done,) = world.run(partner, forgotten, ledger=ledger)

    assert files(world) == 1
    assert hashes(world)[0] == done.saved["tx_hash"]
    assert partner.verify(done).present is True


def test_a_stuck_transaction_pays_an_eighth_more_at_its_nonce(world: World) -> None:
    partner, item, ledger = sent(world, stuck_blocks="4")
    world.node.mine(4, at_most=0)

    back = look(partner, item)
    done = finish(world, partner, item, ledger, back)

    old, new = item.saved["register_tx"], back.changes["register_tx"]
    assert isinstance(back, Rewind)
    assert new["max_fee"] * 8 >= old["max_fee"] * 9
    assert new["tip"] * 8 >= old["tip"] * 9
    assert (files(world), len(hashes(world))) == (1, 2)
    assert done.saved["tx_hash"] == hashes(world)[1]
    assert {tx.nonce for tx in ledger.find(item, next(iter(ledger._rows))[1])} == {old["nonce"]}


def test_signing_a_replacement_again_after_a_crash_makes_no_third_transaction(world: World) -> None:
    partner, item, ledger = sent(world, stuck_blocks="4")
    world.node.mine(4, at_most=0)
    item = world.save(item, look(partner, item))

    first = ask(partner, "sign_register", [item], ledger)
    second = ask(partner, "sign_register", [item], ledger)

    assert first == second
    assert len(first[0]["register_tx"]["hashes"]) == 2


def test_the_replaced_transaction_may_be_the_one_that_is_mined(world: World) -> None:
    partner, item, ledger = sent(world, stuck_blocks="4")
    world.node.mine(4, at_most=0)
    original = bytes.fromhex(item.saved["register_tx"]["raw"])
    replaced = world.until(
        partner, world.save(item, look(partner, item)), "send_register", ledger, first="sign_register"
    )
    world.node.drop(replaced.saved["register_tx"]["hashes"][1])
    partner.client.send(original)

    done = world.save(replaced, world.answer(partner, "confirm_register", replaced))

    assert done.saved["tx_hash"] == item.saved["register_tx"]["hashes"][0]


def test_a_transaction_behind_a_stuck_one_pays_no_more(world: World) -> None:
    partner, ledger = world.partner(stuck_blocks="2"), None
    ledger = world.ledger(partner)
    items = [world.until(partner, world.item(number), "send_register", ledger) for number in range(2)]
    world.node.mine(3, at_most=0)

    answers = [look(partner, item) for item in items]

    assert [type(answer) for answer in answers] == [Rewind, NotReady]


def test_a_nonce_that_somebody_else_used_is_replaced_by_a_new_one(world: World) -> None:
    partner, item, ledger = sent(world)
    world.node.drop(item.saved["register_tx"]["hashes"][0])
    away = Action(to=world.addresses.dlp, data="0x")
    world.transact("signer", away, nonce=item.saved["register_tx"]["nonce"], gwei=50)
    world.node.mine()

    early = look(partner, item)
    world.node.mine(6)
    first = look(partner, item)
    second = look(partner, world.save(item, first))
    done = finish(world, partner, world.save(item, first), ledger, second)

    assert isinstance(early, NotReady)
    assert (first.step, second.step) == ("confirm_register", "prepare_register")
    assert second.changes["register_tx"] == {"generation": 1, "reverts": 0}
    assert (files(world), done.saved["file_id"]) == (1, 1)


def test_a_node_that_lags_behind_is_not_taken_at_its_word(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine(10)
    world.arm("rpc_behind", match="eth_getTransactionReceipt", times=2, seconds=20, per_subject=2)

    first = look(partner, item)
    second = look(partner, world.save(item, first))

    assert first.step == "confirm_register"
    assert second["file_id"] == 1


def test_a_node_that_lags_behind_a_mined_registration_gets_no_second_one(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine(10)
    world.arm("rpc_behind", match="eth_call", times=3, seconds=20, per_subject=3)

    early = look(partner, item)

    assert isinstance(early, NotReady)
    assert "does not show yet what is mined" in early.message
    assert look(partner, item)["file_id"] == 1


def test_it_is_done_only_when_the_block_is_deep(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine()

    answers = []
    for _ in range(3):
        answers.append(look(partner, item))
        world.node.mine()

    assert [isinstance(answer, NotReady) for answer in answers] == [True, True, False]


def test_it_is_done_as_soon_as_its_block_is_final(world: World) -> None:
    partner, item, _ = sent(world, confirmations="1000")
    world.node.mine(5)
    assert isinstance(look(partner, item), NotReady)
    world.node.finalized_depth = 2

    assert look(partner, item)["file_id"] == 1


def test_confirmations_count_only_where_the_node_names_no_final_block(world: World) -> None:
    world.node.finalized_depth = 8
    world.node.mine(8)
    partner, item, _ = sent(world, confirmations="1")

    answers = []
    for _ in range(9):
        world.node.mine()
        answers.append(look(partner, item))

    assert [isinstance(answer, NotReady) for answer in answers] == [True] * 8 + [False]


def test_a_reorganised_transaction_is_waited_for_again(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine(2)
    world.node.reorg(2, empty=True)

    waits = look(partner, item)
    done = world.save(item, world.answer(partner, "confirm_register", item))

    assert isinstance(waits, NotReady)
    assert (files(world), len(hashes(world))) == (1, 1)
    assert partner.client.file(1, []).block == done.saved["block"]


def test_a_transaction_lost_in_a_reorganisation_is_sent_again(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine(2)
    world.node.reorg(2, drop=item.saved["register_tx"]["hashes"])

    done = world.save(item, world.answer(partner, "confirm_register", item))

    assert (files(world), done.saved["file_id"], len(hashes(world))) == (1, 1, 1)


def test_an_adopted_registration_that_vanishes_is_made_again(world: World) -> None:
    partner, item, ledger = sent(world)
    adopted = replace(item, saved={name: item.saved[name] for name in ("url", "owner", "permissions")})
    world.node.mine()
    adopted = world.until(partner, adopted, "send_register", ledger, first="prepare_register")
    assert isinstance(look(partner, adopted), NotReady)
    world.node.reorg(1, drop=item.saved["register_tx"]["hashes"])

    back = look(partner, adopted)
    done = finish(world, partner, adopted, ledger, back)

    assert back == Rewind(step="prepare_register", changes={"register_tx": {"generation": 0, "reverts": 0}})
    assert (files(world), done.saved["tx_hash"]) == (1, item.saved["register_tx"]["hashes"][0])


def test_out_of_gas_is_followed_by_a_transaction_with_more(world: World) -> None:
    partner, ledger = world.partner(), None
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "prepare_register", ledger)
    little = {**item.saved["register_tx"], "gas": 100_000}
    item = replace(item, saved={**item.saved, "register_tx": little})
    item = world.until(partner, item, "send_register", ledger, first="sign_register")

    back = world.answer(partner, "confirm_register", item)
    again = world.until(partner, world.save(item, back), "prepare_register", ledger, first="prepare_register")
    done = finish(world, partner, item, ledger, back)

    assert back.changes["register_tx"] == {"generation": 1, "reverts": 1}
    assert again.saved["register_tx"]["gas"] > 4 * little["gas"]
    assert done.saved["file_id"] == 1


def test_gas_above_the_cap_is_waited_out(world: World) -> None:
    partner = world.partner(max_fee_gwei="0.5")
    item = world.item()
    item = world.save(item, partner.keys(item))

    waits = look(partner, item, "prepare_register")

    assert isinstance(waits, NotReady)
    assert "waiting until max_fee_gwei pays for it, or raise that" in waits.message


def test_a_stuck_transaction_at_the_cap_waits(world: World) -> None:
    partner, item, _ = sent(world, stuck_blocks="2")
    world.node.mine(3, at_most=0)
    capped = {**item.saved["register_tx"], "max_fee": 99 * 10**9}

    waits = look(partner, replace(item, saved={**item.saved, "register_tx": capped}))

    assert isinstance(waits, NotReady)
    assert "max_fee_gwei" in waits.message


def test_a_signer_without_money_stops_the_partner(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "sign_register", ledger)
    world.node.set_balance(bytes.fromhex(partner.signer[2:]), 1000)

    with pytest.raises(MisconfiguredError, match="fund its address") as caught:
        world.answer(partner, "send_register", item)

    assert caught.value.code == "funds"
    assert f"the signer {partner.signer} holds 0.000000 of the chain's coin" in caught.value.message


def test_only_so_many_are_on_their_way_at_once(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner, max_unmined=2)
    items = [world.until(partner, world.item(number), "prepare_register", ledger) for number in range(3)]

    answers = ask(partner, "sign_register", items, ledger)

    assert [type(answer) for answer in answers] == [dict, dict, NotReady]
    assert [answer["register_tx"]["nonce"] for answer in answers[:2]] == [0, 1]


def test_a_void_transaction_is_not_voided_again(world: World) -> None:
    partner = world.partner(stuck_blocks="2")
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "sign_register", ledger)
    world.register_as("stranger", item.saved["url"], world.addresses.dlp, [])
    item = world.save(item, world.answer(partner, "send_register", item))
    item = world.until(partner, item, "send_register", ledger, first="sign_register")
    world.node.mine(3, at_most=0)

    back = look(partner, item)
    item = world.until(partner, world.save(item, back), "send_register", ledger, first="sign_register")
    after = world.answer(partner, "confirm_register", item)

    assert (back.step, after.step) == ("sign_register", "prepare_register")
    assert files(world) == 1
    assert partner.client.nonce(partner.signer, "latest") == 1


def test_an_unwanted_transaction_that_was_sent_is_left_alone(world: World) -> None:
    partner, item, _ = sent(world)
    unsaved = {name: value for name, value in item.saved["register_tx"].items() if name != "sent_at"}
    item = replace(item, saved={**item.saved, "register_tx": unsaved})
    world.register_as("stranger", item.saved["url"], world.addresses.dlp, [])

    answer = look(partner, item, "send_register")

    assert set(answer["register_tx"]) - set(unsaved) == {"sent_at"}


def test_an_unavailable_node_is_transient(world: World) -> None:
    partner, item, _ = sent(world)
    world.arm("rpc_500")

    broken = look(partner, item)

    assert isinstance(broken, TransientError)
    assert broken.http_status == 500


CHEAP = "max fee per gas less than block base fee"


@pytest.mark.parametrize("step", ["send_register", "confirm_register"])
def test_a_price_that_became_too_low_is_raised(world: World, step: str) -> None:
    _, item, _ = sent(world)
    block = {"number": "0x50", "timestamp": "0x20", "baseFeePerGas": hex(20 * 10**9)}
    told = {"eth_getBlockByNumber": block, "eth_blockNumber": "0x50", "eth_getTransactionCount": "0x0"}
    node = start_node({**{k: {"result": v} for k, v in told.items()}, "eth_sendRawTransaction": error(CHEAP)})
    partner = world.partner(rpc_url=node.url)

    back = look(partner, item, step)
    node.stop()

    assert (back.step, back.changes["register_tx"]["again"]) == ("sign_register", True)
    assert back.changes["register_tx"]["max_fee"] > 40 * 10**9


@pytest.mark.parametrize("step", ["sign_register", "send_register"])
def test_nothing_prepared_is_nothing_done(world: World, step: str) -> None:
    partner = world.partner()
    item = world.item(saved={"url": f"{world.files_url}/0", "register_tx": {"generation": 3, "reverts": 0}})

    assert ask(partner, step, [item], world.ledger(partner)) == [{}]


def test_another_transaction_at_our_nonce_is_waited_for_until_it_is_deep(world: World) -> None:
    partner, item, _ = sent(world)
    tx = {**item.saved["register_tx"], "hashes": ["0x" + "12" * 32]}
    world.node.mine()

    waits = look(partner, replace(item, saved={**item.saved, "register_tx": tx}))

    assert isinstance(waits, NotReady)
    assert "looking who used it" in waits.message
