"""Configuration is refused in sentences; the chain is compared with it at start; the signer's gaps are filled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partners.base import PUSH, REVOKE, SignedTx, SignerView
from partners.errors import MisconfiguredError, TransientError
from partners.sandbox.chain.deploy import key_address
from partners.vana.adapter import PROVE, REFINE, REGISTER, REWARD, WITHDRAW, VanaPartner
from partners.vana.signature import is_void, sign_transaction
from tests.partners.vana.node import error, start_node
from tests.partners.vana.world import World
from tests.partners.wire import answer

NOBODY = "0x" + "11" * 20


def refusal(world: World, **changes: str) -> str:
    with pytest.raises(MisconfiguredError) as caught:
        VanaPartner("vana", world.options(**changes))
    return caught.value.message


def wrong(world: World, **changes: str) -> str:
    with pytest.raises(MisconfiguredError) as caught:
        world.partner(**changes).check()
    return caught.value.message


def transfers(world: World, count: int) -> list[SignedTx]:
    fields: dict[str, Any] = {"to": NOBODY, "data": "0x", "value": 1, "gas": 21_000}
    fees = {"maxFeePerGas": 5 * 10**9, "maxPriorityFeePerGas": 10**9, "chainId": world.addresses.chain_id}
    key = world.chain.keys["signer"]
    return [sign_transaction(key, {**fields, **fees, "nonce": nonce}) for nonce in range(count)]


def test_its_signer_is_the_keys_address(world: World) -> None:
    assert world.partner().signer == key_address(world.chain.keys["signer"])


def test_the_flow_follows_the_configuration(world: World) -> None:
    refiner = {"refine": "yes", "refiner_url": "http://refiner.invalid", "refiner_id": "1"}

    assert world.partner().active_steps(PUSH) == (*REGISTER, "forget")
    assert world.partner(request_proof="yes").active_steps(PUSH) == (*REGISTER, *PROVE, "forget")
    assert world.partner(**refiner).active_steps(PUSH) == (*REGISTER, *REFINE, "forget")
    whole = world.partner(request_proof="yes", reward="yes", **refiner)
    assert whole.active_steps(PUSH) == whole.steps == (*REGISTER, *PROVE, *REFINE, *REWARD, "forget")
    assert whole.active_steps(REVOKE) == WITHDRAW


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"request_proof": "yes", "tee_pool": ""}, "vana: tee_pool is not set; request_proof = yes needs it"),
        ({"refine": "yes", "refiner_id": "1"}, "vana: refiner_url is not set; refine = yes needs it"),
        ({"refine": "yes", "refiner_url": "http://r"}, "vana: refiner_id is not set; refine = yes needs it"),
        ({"reward": "yes"}, "vana: reward = yes needs request_proof = yes, since only proved files are rewarded"),
        ({"private_key": "00" * 32}, "vana: private_key: this is no private key of secp256k1"),
        ({"chain_id": "moksha"}, "chain_id cannot be 'moksha'; it should hold the chain's id: 1480 (mainnet), 14800"),
        ({"registry": "0x12"}, "registry cannot be '0x12'; it should hold the DataRegistry's address"),
        ({"rpc_url": "ws://node"}, "rpc_url cannot be 'ws://node'"),
        ({"file_owner": "user"}, "file_owner cannot be 'user'; it should hold signer or owner"),
    ],
)
def test_a_wrong_configuration_is_refused(world: World, changes: dict[str, str], message: str) -> None:
    assert message in refusal(world, **changes)


def test_a_wrong_private_key_is_not_shown(world: World) -> None:
    assert "abc123" not in refusal(world, private_key="abc123")


def test_what_was_checked_is_told(world: World) -> None:
    partner, places = world.partner(request_proof="yes"), world.addresses

    assert list(partner.check()) == [
        "The node is on chain 14800.",
        f"A contract lives at {places.registry} (registry).",
        f"A contract lives at {places.dlp} (dlp).",
        f"A contract lives at {places.tee_pool} (tee_pool).",
        "The registry is version 2 and open.",
        f"The DLP {places.dlp} has a public key.",
        f"The signer {partner.signer} holds 1000000.0000 of the chain's coin.",
    ]


def test_another_chain_is_noticed(world: World) -> None:
    assert wrong(world, chain_id="1480") == (
        "vana: check: the node is on chain 14800, chain_id says 1480; correct rpc_url or chain_id"
    )


@pytest.mark.parametrize("option", ["registry", "dlp", "tee_pool"])
def test_an_address_without_contract_is_noticed(world: World, option: str) -> None:
    message = wrong(world, request_proof="yes", **{option: NOBODY})

    assert message == f"vana: check: no contract lives at {NOBODY} on chain 14800; correct {option}"


def test_another_version_is_noticed(world: World) -> None:
    assert "the registry is version 2, registry_version says 3" in wrong(world, registry_version="3")


def test_a_paused_registry_is_noticed(world: World) -> None:
    world.chain.admin.transact("registry", "pause")

    assert "the registry is paused by Vana; resume when it is open again" in wrong(world)


def test_a_signer_without_money_is_noticed(world: World) -> None:
    message = wrong(world, private_key="22" * 32)

    assert message.endswith("holds nothing; fund it for gas")


def test_a_contract_of_another_kind_is_noticed(world: World) -> None:
    message = wrong(world, dlp=world.addresses.tee_pool)

    assert message.endswith(
        f"publicKey: {world.addresses.tee_pool} refuses to be read (not_the_contract); check the address and the chain"
    )


def test_a_node_that_is_away_is_no_wrong_configuration(world: World) -> None:
    partner = world.partner()
    world.arm("rpc_500")

    with pytest.raises(TransientError):
        partner.check()


def test_what_the_node_does_not_know_is_broadcast_in_nonce_order(world: World) -> None:
    partner = world.partner()
    signed = transfers(world, 4)
    partner.client.send(signed[0].raw)
    world.node.mine()
    partner.client.send(signed[1].raw)

    view = partner.look_at_signer(signed[::-1])

    assert view == SignerView(mined=1, pending=4)
    assert [entry["nonce"] for entry in world.broadcasts()] == [0, 1, 2, 3]


def test_what_a_mined_transaction_has_replaced_is_not_broadcast_again(world: World) -> None:
    partner = world.partner()
    [mined] = transfers(world, 1)
    partner.client.send(mined.raw)
    world.node.mine()

    partner.look_at_signer([replace(mined, tx_hash="0x" + "77" * 32)])

    assert len(world.broadcasts()) == 1


def test_a_signer_without_open_transactions_is_looked_at_too(world: World) -> None:
    assert world.partner().look_at_signer([]) == SignerView(mined=0, pending=0)


def refused_by(
    world: World, refusal: dict[str, Any] | bytes, signed: SignedTx | None = None, base_fee: str = "0x1"
) -> SignerView:
    """Look at a signer with one open transaction, at a node that refuses broadcasts."""
    quantity = {"result": "0x0"}
    head = {"result": {"number": "0x9", "timestamp": "0x9", "baseFeePerGas": base_fee}}
    told: Any = {"eth_getTransactionCount": quantity, "eth_sendRawTransaction": refusal}
    told |= {"eth_estimateGas": quantity, "eth_maxPriorityFeePerGas": quantity, "eth_getBlockByNumber": head}
    node = start_node(told if isinstance(refusal, dict) else refusal)
    partner = world.partner(rpc_url=node.url)
    try:
        return partner.look_at_signer([signed or transfers(world, 1)[0]])
    finally:
        node.stop()


def test_what_the_node_refuses_gives_its_nonce_to_a_transfer_of_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    view = refused_by(world, error("exceeds block gas limit"))

    [void] = view.instead
    assert (view.mined, view.pending, void.nonce) == (0, 0, 0)
    assert is_void(void.raw, world.partner().signer)
    assert "exceeds block gas limit" in caplog.text


def test_a_transfer_of_nothing_that_is_refused_as_well_is_not_signed_anew(world: World) -> None:
    [void] = refused_by(world, error("exceeds block gas limit")).instead

    assert refused_by(world, error("the pool is full"), void) == SignerView(mined=0, pending=0)


def test_nothing_takes_a_nonce_while_gas_is_too_dear(world: World) -> None:
    dear = hex(10**15)

    assert refused_by(world, error("exceeds block gas limit"), base_fee=dear) == SignerView(mined=0, pending=0)


def test_a_refused_transaction_behind_one_that_waits_keeps_its_nonce(world: World) -> None:
    """The node may mean the gap; only what stands first in line is hopeless."""
    refused = transfers(world, 2)[1]

    assert refused_by(world, error("nonce too high"), refused) == SignerView(mined=0, pending=0)


def test_a_node_that_fails_is_not_taken_for_an_answer(world: World) -> None:
    with pytest.raises(TransientError):
        refused_by(world, answer(503, b""))


def test_a_node_that_fails_at_a_broadcast_is_not_taken_for_an_answer(world: World) -> None:
    world.arm("rpc_500", match="eth_sendRawTransaction")
    partner = world.partner()

    with pytest.raises(TransientError):
        partner.look_at_signer(transfers(world, 1))


def test_it_reads_what_its_signer_has_and_what_gas_costs(world: World) -> None:
    node = start_node({"eth_getBalance": {"result": "0xde0b6b3a7640000"}, "eth_gasPrice": {"result": "0x3b9aca00"}})
    partner = world.partner(rpc_url=node.url)

    reading = partner.read_signer()

    node.stop()
    assert (reading.address, reading.balance, reading.price_gwei) == (partner.signer, 1.0, 1.0)


def test_the_chain_itself_tells_what_the_signer_has(world: World) -> None:
    partner = world.partner()

    reading = partner.read_signer()

    assert reading.balance == partner.client.balance_wei(partner.signer) / 10**18 > 0
    assert reading.price_gwei > 0


def test_a_node_that_does_not_say_what_the_signer_has_is_no_poor_signer(world: World) -> None:
    node = start_node({"eth_getBalance": {"result": None}})

    with pytest.raises(TransientError):
        world.partner(rpc_url=node.url).read_signer()

    node.stop()
