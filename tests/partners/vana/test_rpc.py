"""What nodes answer when they are not well, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_abi import encode

from partners.errors import MisconfiguredError, TransientError, UnknownOutcome
from partners.http import HttpClient
from partners.vana import abi
from partners.vana.chain import Action, Estimate, Head, Refused, Sight
from partners.vana.client import VanaClient
from partners.vana.rpc import Rpc, RpcError
from tests.partners.vana.node import error, start_node
from tests.partners.wire import answer

HERE, SIGNER = "0x" + "22" * 20, "0x" + "33" * 20
HUGE = 2**63
Make = Callable[..., VanaClient]
BALANCE = {"result": "0x5"}
BLOCK = {"number": "0x10", "timestamp": "0x20", "baseFeePerGas": "0x3b9aca00"}


@pytest.fixture
def node() -> Iterator[Make]:
    """Return a maker of a client whose node answers each method with what is told: result, error or raw bytes."""
    started: list[Any] = []

    def start(told: dict[str, Any] | bytes) -> VanaClient:
        wire, http = start_node(told), HttpClient(partner="vana", deadline_s=2)
        started.extend([wire.stop, http.close])
        return VanaClient(
            Rpc(http, wire.url, "vana"), partner="vana", payer=HERE, registry=HERE, tee_pool=HERE, dlp=HERE
        )

    yield start
    for stop in started:
        stop()


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("already known", "known"),
        ("transaction already imported", "known"),
        ("ALREADY_EXISTS: already known", "known"),
        ("nonce too low: next nonce 5, tx nonce 3", "nonce_used"),
        ("replacement transaction underpriced", "outbid"),
        ("transaction underpriced: tip needed 1, tip permitted 0", "too_cheap"),
        ("max fee per gas less than block base fee", "too_cheap"),
    ],
)
def test_a_nodes_refusal_of_a_broadcast_is_understood(node: Make, message: str, outcome: str) -> None:
    assert node({"eth_sendRawTransaction": error(message)}).send(b"\x02") == outcome


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("insufficient funds for gas * price + value: balance 0", MisconfiguredError),
        ("txpool is full", TransientError),
        ("exceeds block gas limit", TransientError),
    ],
)
def test_other_refusals_of_a_broadcast_are_raised(node: Make, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        node({"eth_sendRawTransaction": error(message), "eth_getBalance": BALANCE}).send(b"\x02")


def test_a_nodes_message_is_shown_without_what_it_quotes(node: Make) -> None:
    with pytest.raises(TransientError) as caught:
        node({"eth_sendRawTransaction": error("cannot take 0x" + "ab" * 500 + " now")}).send(b"\x02")

    assert caught.value.message == "vana: eth_sendRawTransaction: the node answered 'cannot take … now'"


def test_a_broadcast_without_answer_is_an_unknown_outcome(node: Make) -> None:
    with pytest.raises(UnknownOutcome):
        node(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nx").send(b"\x02")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("0x86114455", "FileUrlAlreadyUsed"),
        ({"data": "0x86114455"}, "FileUrlAlreadyUsed"),
        ("Reverted 0x86114455", "FileUrlAlreadyUsed"),
        ({"0xabc": {"return": "0xd93c0665"}}, "EnforcedPause"),
        ("0xdeadbeef", "0xdeadbeef"),
        ("0x", ""),
    ],
)
def test_a_contracts_refusal_is_named(node: Make, data: Any, name: str) -> None:
    client = node(
        {"eth_estimateGas": error("execution reverted", code=3, data=data), "eth_getBlockByNumber": {"result": BLOCK}}
    )

    with pytest.raises(Refused) as caught:
        client.estimate(SIGNER, Action(to=HERE, data="0x"))

    assert caught.value.name == name


@pytest.mark.parametrize(
    ("told", "name"),
    [(error("execution reverted", data="0xa208aa68"), "FileAlreadyAdded"), ({"result": "0x"}, "")],
)
def test_an_estimate_without_data_is_asked_again_as_a_call(node: Make, told: Any, name: str) -> None:
    client = node({"eth_estimateGas": error("execution reverted"), "eth_call": told})

    with pytest.raises(Refused) as caught:
        client.estimate(SIGNER, Action(to=HERE, data="0x"))

    assert caught.value.name == name


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("insufficient funds for transfer", MisconfiguredError),
        ("gas required exceeds allowance (0)", MisconfiguredError),
        ("header not found", TransientError),
    ],
)
def test_an_estimate_that_the_node_refuses_is_no_refusal_of_the_contract(
    node: Make, message: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        node({"eth_estimateGas": error(message), "eth_getBalance": BALANCE}).estimate(
            SIGNER, Action(to=HERE, data="0x")
        )


def test_a_node_without_tips_gets_one_gwei(node: Make) -> None:
    told = {"eth_estimateGas": {"result": "0x5208"}, "eth_getBlockByNumber": {"result": BLOCK}}
    client = node({**told, "eth_maxPriorityFeePerGas": error("no such method", code=-32601)})

    found = client.estimate(SIGNER, Action(to=HERE, data="0x"))

    assert found == Estimate(gas=21_000, head=Head(number=16, timestamp=32, base_fee_wei=10**9), tip_wei=10**9)


def test_a_node_without_blocks_is_transient(node: Make) -> None:
    told = {"eth_estimateGas": {"result": "0x5208"}, "eth_getBlockByNumber": error("unknown block")}

    with pytest.raises(TransientError, match="unknown block"):
        node(told).estimate(SIGNER, Action(to=HERE, data="0x"))


def test_a_method_that_the_node_lacks_is_a_wrong_node(node: Make) -> None:
    with pytest.raises(MisconfiguredError, match="use another rpc_url"):
        node({"eth_getBalance": error("the method does not exist", code=-32601)}).balance_wei(HERE)


def test_a_limit_is_transient(node: Make) -> None:
    with pytest.raises(TransientError, match="too fast"):
        node({"eth_getBalance": error("too fast", code=-32005)}).balance_wei(HERE)


def test_a_refused_read_names_the_error(node: Make) -> None:
    with pytest.raises(TransientError, match=r"refuses to be read \(NotFileOwner\)"):
        node({"eth_call": error("execution reverted", data="0xabea3229")}).find_file_id("http://x")


@pytest.mark.parametrize("result", [None, 7])
def test_an_answer_that_is_no_text_is_the_nodes_fault(node: Make, result: Any) -> None:
    with pytest.raises(TransientError, match=r"makes no sense; check rpc_url$") as caught:
        node({"eth_call": {"result": result}}).find_file_id("http://x")

    assert caught.value.code == ""


@pytest.mark.parametrize("result", ["0x", "0x12", "what"])
def test_an_answer_of_another_shape_points_at_the_address(node: Make, result: Any) -> None:
    with pytest.raises(TransientError, match="does not answer as the contract should"):
        node({"eth_call": {"result": result}}).find_file_id("http://x")


def test_a_receipt_that_the_node_refuses_is_transient(node: Make) -> None:
    told = {name: {"result": "0x1"} for name in ("eth_blockNumber", "eth_getTransactionCount")}
    told |= {"eth_getTransactionReceipt": error("index is being built")}

    with pytest.raises(TransientError, match="index is being built"):
        node(told).watch(["0x12"])


def test_a_node_without_finality_has_nothing_final(node: Make) -> None:
    told = {"eth_blockNumber": {"result": "0x9"}, "eth_getBlockByNumber": error("finalized block not found")}
    told |= {"eth_getTransactionCount": {"result": "0x2"}}

    seen = node(told).watch(["0x12"])

    assert seen == Sight(height=9, finalized=0, used=2, receipts=[], is_known=False)


def test_a_replay_that_succeeds_tells_nothing(node: Make) -> None:
    assert node({"eth_call": {"result": "0x"}}).replay(SIGNER, Action(to=HERE, data="0x"), 5) == ""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (answer(404, b"nothing here"), "answered 404; the same request will be refused again; check rpc_url"),
        (answer(503, b""), "answered 503"),
        (answer(200, b"[1]"), "the node answered no JSON-RPC object; check rpc_url"),
        (answer(200, b"<html>"), "answered HTML or XML, not JSON"),
        (answer(200, b"{}"), "the node answered neither result nor error"),
        (answer(200, b'{"error": "no"}'), "the node answered 'no'"),
        (answer(400, b'{"jsonrpc": "2.0", "error": {"message": "bad block"}}'), "the node answered 'bad block'"),
        (answer(200, b'{"result": "pong"}'), "the node answered something that makes no sense"),
        (answer(200, b'{"result": null}'), "chain_id: the node answered something that makes no sense; check rpc_url"),
    ],
)
def test_nonsense_is_an_error_of_this_request_only(node: Make, raw: bytes, message: str) -> None:
    with pytest.raises(TransientError) as caught:
        node(raw).chain_id()

    assert message in caught.value.message
    assert caught.value.message.startswith("vana: ")


@pytest.mark.parametrize(
    ("ask", "answered"),
    [
        (lambda client: client.head(), b""),
        (lambda client: client.watch([]), b""),
        (lambda client: client.find_file_id("https://a/b"), encode(["uint256"], [HUGE])),
        (lambda client: client.file(1, []), encode(abi.FILES.outputs, [(1, HERE, "https://a/b", 0, HUGE)])),
    ],
    ids=["head", "watch", "file id", "file"],
)
def test_a_number_beyond_64_bits_is_an_error_of_this_request_only(
    node: Make, ask: Callable[[VanaClient], object], answered: bytes
) -> None:
    told = {
        "eth_call": {"result": "0x" + answered.hex()},
        "eth_blockNumber": {"result": hex(HUGE)},
        "eth_getTransactionCount": {"result": "0x0"},
        "eth_getBlockByNumber": {"result": {**BLOCK, "number": hex(HUGE)}},
    }

    with pytest.raises(TransientError, match="makes no sense; check rpc_url"):
        ask(node(told))


def test_wrong_credentials_stop_the_partner(node: Make) -> None:
    with pytest.raises(MisconfiguredError):
        node(answer(401, b"")).chain_id()


@pytest.mark.parametrize("raw", [answer(200, b'{"error": {"message": "no batches"}}'), answer(200, b"7")])
def test_a_node_that_knows_no_batches_is_transient(node: Make, raw: bytes) -> None:
    with pytest.raises(TransientError):
        node(raw).known(["0x1", "0x2"])


def test_a_batch_with_a_hole_is_transient(node: Make) -> None:
    with pytest.raises(TransientError, match="neither result nor error"):
        node(answer(200, b'[{"id": 99, "result": true}]')).known(["0x1", "0x2"])


def test_long_batches_are_cut(node: Make) -> None:
    client = node({"eth_getTransactionByHash": {"result": {"hash": "0x1"}}})

    assert client.known([hex(number) for number in range(120)]) == [True] * 120


def test_an_rpc_error_says_method_and_cause() -> None:
    told = RpcError("eth_call", "out of order")

    assert str(told) == "eth_call: out of order"
    assert told.is_revert is False
