"""The services' transactions arrive once through whatever the chain does to them."""

from __future__ import annotations

import threading

import pytest

from partners.sandbox.chain.server import start_chain
from partners.sandbox.faults import Fault
from partners.sandbox.onchain import NodeError, Onchain, OnchainError


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("rpc_429", "eth_estimateGas"),
        ("rpc_500", "eth_getTransactionReceipt"),
        ("broadcast_lost_response", "eth_sendRawTransaction"),
        ("broadcast_dropped", "eth_sendRawTransaction"),
    ],
)
def test_a_transaction_survives_a_fault_of_the_node(chain, signer, kind, method):
    chain.faults.arm(Fault(kind=kind, match=f"^{method}"))
    hit = chain.faults.counts()[kind]
    files = signer.read("registry", "filesCount")

    signer.send("registry", "addFile", f"https://file.invalid/{kind}")

    assert chain.faults.counts()[kind] == hit + 1
    assert signer.read("registry", "filesCount") == files + 1


def test_a_call_that_would_revert_is_not_sent(signer):
    signer.send("registry", "addFile", "https://file.invalid/twice")
    nonce = signer.rpc("eth_getTransactionCount", signer.address, "pending")

    with pytest.raises(NodeError, match="execution reverted 0x86114455"):
        signer.send("registry", "addFile", "https://file.invalid/twice")

    assert signer.rpc("eth_getTransactionCount", signer.address, "pending") == nonce


@pytest.fixture
def slow_chain():
    """Return a chain that mines only when told to."""
    chain = start_chain(block_s=0)
    yield chain
    chain.stop()


def account(chain, stopping, **options):
    addresses = {"registry": chain.addresses.registry}
    keys = {"private_key": chain.keys["signer"], **options}
    return Onchain(rpc_url=chain.rpc_url, addresses=addresses, stopping=stopping, **keys)


def test_a_transaction_that_loses_a_race_says_so(slow_chain, aside, wait_until):
    mine, other = (
        account(slow_chain, threading.Event(), private_key=slow_chain.keys[role]) for role in ("signer", "stranger")
    )
    sent = [aside.submit(one.send, "registry", "addFile", "https://file.invalid/1") for one in (mine, other)]
    wait_until(lambda: len(slow_chain.log) == 2)

    mine.rpc("evm_mine")

    errors = [str(one.exception(10)) for one in sent]
    assert sorted(errors) == ["None", "addFile was mined, but failed"]


def test_a_transaction_that_is_not_mined_is_given_up(slow_chain):
    with pytest.raises(OnchainError, match="the chain took too long"):
        account(slow_chain, threading.Event(), patience_s=0.3).send("registry", "addFile", "https://file.invalid/1")


def test_waiting_ends_when_the_service_stops(slow_chain):
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(OnchainError, match="the service is stopping"):
        account(slow_chain, stopping).send("registry", "addFile", "https://file.invalid/1")


def test_an_account_without_money_is_told_so(slow_chain):
    poor = account(slow_chain, threading.Event(), private_key="0x" + "11" * 32)

    with pytest.raises(OnchainError, match="the node does not take the transaction"):
        poor.send("registry", "addFile", "https://file.invalid/1")
