"""How long a transaction waits for what, what it says meanwhile, and what stands in for one that is not wanted."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from partners.base import REVOKE, Required, Rewind
from partners.errors import NotReady, PermanentError, TransientError
from partners.testing import ask
from partners.vana.transaction import (
    DOUBTS,
    LONGEST_PAUSE_S,
    TRANSFER_GAS,
    WAIT_AT_MOST_S,
    doubt,
    has_moved,
    transfer_nothing,
)
from tests.partners.vana.node import error, start_node
from tests.partners.vana.test_transaction import look, sent
from tests.partners.vana.world import World


def test_what_waits_to_be_mined_says_so_and_is_looked_at_every_poll_for_hours(world: World) -> None:
    partner, item, _ = sent(world)

    waits = look(partner, item)

    assert isinstance(waits, NotReady)
    assert waits.message == "vana: register: the transaction waits to be mined"
    assert (waits.after_s, waits.at_most_s) == (partner.settings.poll_s, WAIT_AT_MOST_S)


def test_a_block_that_is_not_final_is_named(world: World) -> None:
    partner, item, _ = sent(world)
    world.node.mine()

    waits = look(partner, item)

    block = world.node.head.number
    assert isinstance(waits, NotReady)
    assert waits.message == f"vana: register: block {block} is not final yet"


def test_gas_above_the_cap_is_told_in_gwei(world: World) -> None:
    partner = world.partner(max_fee_gwei="0.5")
    item = world.item()
    item = world.save(item, partner.keys(item))

    waits = look(partner, item, "prepare_register")

    gwei = partner.client.head().base_fee_wei / 1_000_000_000
    assert isinstance(waits, NotReady)
    assert waits.message.startswith(f"vana: register: gas costs {gwei:g} gwei and more; waiting")


def test_gas_above_the_cap_is_waited_for_without_end_and_goes_on_when_it_falls(world: World) -> None:
    item = world.item()
    item = world.save(item, world.partner().keys(item))

    waits = look(world.partner(max_fee_gwei="0.5"), item, "prepare_register")
    answer = look(world.partner(), item, "prepare_register")

    assert isinstance(waits, NotReady)
    assert (waits.at_most_s, waits.after_s) == (float("inf"), 10 * 0.01)
    assert "register_tx" in answer


@pytest.mark.parametrize(("reverts", "polls"), [(0, 2), (1, 4), (2, 8), (60, None)])
def test_each_revert_is_looked_into_later_than_the_one_before(
    world: World, caplog: pytest.LogCaptureFixture, reverts: int, polls: int | None
) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "prepare_register", ledger)
    little = {**item.saved["register_tx"], "gas": 100_000, "reverts": reverts}
    item = replace(item, saved={**item.saved, "register_tx": little})
    item = world.until(partner, item, "send_register", ledger, first="sign_register")

    with caplog.at_level(logging.WARNING, logger="partners.vana.transaction"):
        back = world.answer(partner, "confirm_register", item)

    assert isinstance(back, Rewind)
    assert back.after_s == (partner.settings.poll_s * polls if polls else LONGEST_PAUSE_S)
    assert back.changes["register_tx"] == {"generation": 1, "reverts": reverts + 1}
    block = partner.client.head().number
    [told] = [line.getMessage() for line in caplog.records if "reverted" in line.getMessage()]
    assert told.startswith("vana register reverted in block ")
    assert int(told.split()[5].rstrip(":")) <= block
    assert told.endswith("no reason given, perhaps out of gas")


def test_in_place_of_what_is_not_wanted_goes_nothing_to_the_signer_itself() -> None:
    assert transfer_nothing("0xabc") == {"to": "0xabc", "data": "0x", "value": 0, "gas": TRANSFER_GAS}


def test_a_registration_whose_url_has_moved_begins_anew_at_each_step(world: World) -> None:
    partner, item, ledger = sent(world)
    moved = replace(item.required["akave"], entry={**item.required["akave"].entry, "url": "https://o3.example/b/new"})
    item = replace(item, required={"akave": moved})

    answers = [look(partner, item, step) for step in ("prepare_register", "send_register", "confirm_register")]

    assert answers == [Rewind(step="keys")] * 3
    assert ask(partner, "sign_register", [item], ledger) == [{}]


@pytest.mark.parametrize(("count", "passes"), [("0x0", False), ("0x1", True)])
def test_a_refusal_matters_until_the_nonce_is_used(world: World, count: str, passes: bool) -> None:
    _, item, _ = sent(world)
    block = {"number": "0x50", "timestamp": "0x20", "baseFeePerGas": "0x1"}
    told = {"eth_getBlockByNumber": block, "eth_blockNumber": "0x50", "eth_getTransactionCount": count}
    node = start_node({**{k: {"result": v} for k, v in told.items()}, "eth_sendRawTransaction": error("exceeds limit")})
    partner = world.partner(rpc_url=node.url)

    answer = look(partner, item, "send_register")
    node.stop()

    assert item.saved["register_tx"]["nonce"] == 0
    if passes:
        assert answer == {"register_tx": {**item.saved["register_tx"], "sent_at": 0x50}}
    else:
        assert isinstance(answer, TransientError)
        assert answer.code == "-32000"


def test_what_is_signed_already_is_not_prepared_again(world: World) -> None:
    partner, item, _ = sent(world)

    assert look(partner, item, "prepare_register") == {}


def test_each_revert_asks_for_half_as_much_gas_again(world: World) -> None:
    partner, item = world.partner(), world.item()
    item = world.save(item, partner.keys(item))
    once = look(partner, item, "prepare_register")["register_tx"]
    twice = replace(item, saved={**item.saved, "register_tx": {"generation": 1, "reverts": 1}})

    more = look(partner, twice, "prepare_register")["register_tx"]

    factor = partner.settings.gas_factor
    assert more["gas"] == int(once["gas"] / factor * (factor + 0.5))


def test_what_is_signed_in_place_of_another_is_not_signed_again(world: World) -> None:
    partner, item, ledger = sent(world, stuck_blocks="4")
    world.node.mine(4, at_most=0)
    back = look(partner, item)

    [signed] = ask(partner, "sign_register", [world.save(item, back)], ledger)

    assert back.changes["register_tx"]["again"] is True
    assert "again" not in signed["register_tx"]


def test_taking_back_goes_by_the_url_that_was_registered(world: World) -> None:
    moved = Required(entry={"url": "https://o3.example/b/new"}, retry_data={})
    item = replace(world.item(saved={"url": "https://o3.example/b/old"}), required={"akave": moved})

    assert has_moved(item)
    assert not has_moved(replace(item, kind=REVOKE))
    assert not has_moved(replace(item, required={}))


@pytest.mark.parametrize("doubts", [1, 2, 3, DOUBTS])
def test_a_doubt_is_looked_into_later_each_time(world: World, doubts: int) -> None:
    settings = world.partner().settings

    back = doubt(PermanentError("no"), doubts, settings, "confirm_register", {"x": 1})

    assert back == Rewind(step="confirm_register", changes={"x": 1}, after_s=settings.poll_s * 2**doubts)


def test_after_so_many_doubts_it_is_believed(world: World) -> None:
    with pytest.raises(PermanentError, match="^no$"):
        doubt(PermanentError("no"), DOUBTS + 1, world.partner().settings, "confirm_register", {})
