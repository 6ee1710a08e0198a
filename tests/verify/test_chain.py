"""How the chain is asked, and what is said when it answers nonsense."""

import json
from pathlib import Path

import eth_abi
import pytest

from verify import registry
from verify.chain import Contract, Rpc
from verify.wire import UnreachableError

SELECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "vana" / "selectors.json").read_text())
REGISTRY = SELECTORS["DataRegistryImplementation"]
TEE_POOL = SELECTORS["TeePoolImplementation"]
ADDRESS = "0x" + "11" * 20
WORD = "0x" + "00" * 31 + "01"


def reply_to(answer_one):
    """Make an answer function of a JSON-RPC server from `answer_one(method, params) -> result`."""

    def answer(handler, body):
        replies = [
            {"jsonrpc": "2.0", "id": asked["id"], "result": answer_one(asked["method"], asked["params"])}
            for asked in reversed(json.loads(body))
        ]
        return 200, {}, json.dumps(replies).encode()

    return answer


def test_many_calls_are_answered_in_their_order_whatever_the_batch_says(wire, told):
    rpc = Rpc(wire, told(reply_to(lambda method, params: params[0])))

    assert rpc.call_many([("echo", [number]) for number in range(120)]) == list(range(120))


def test_nothing_asked_is_nothing_answered(wire):
    assert Rpc(wire, "http://127.0.0.1:1").call_many([]) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "the chain answered 200 and no JSON-RPC batch"),
        (b'{"jsonrpc": "2.0", "id": 0, "result": "0x1"}', "no JSON-RPC batch"),
        (b"[]", "no JSON-RPC batch"),
        (b'[{"id": 0, "error": {"code": -32000, "message": "pruned"}}]', "the chain refused eth_blockNumber: pruned"),
        (b'[{"id": 0, "error": "no"}]', "the chain refused eth_blockNumber: no reason given"),
    ],
)
def test_an_answer_that_is_none_is_said(wire, told, content, reason):
    rpc = Rpc(wire, told(lambda handler, body: (200, {}, content)))

    with pytest.raises(UnreachableError, match=reason):
        rpc.call("eth_blockNumber")


def test_a_call_holds_selector_arguments_and_block(wire, told):
    asked = []
    rpc = Rpc(wire, told(reply_to(lambda method, params: asked.append((method, params)) or WORD)))

    value = Contract(rpc, ADDRESS, block=20).read_many("filePermissions(uint256,address)", "uint256", [(5, ADDRESS)])

    arguments = eth_abi.encode(["uint256", "address"], [5, ADDRESS]).hex()
    assert value == [1]
    assert asked == [("eth_call", [{"to": ADDRESS, "data": "0x60f1c43a" + arguments}, "0x14"])]


def test_events_are_asked_for_in_ranges_of_blocks(wire, told):
    asked = []
    log = {"topics": ["0x", "0x" + "00" * 31 + "07", "0x" + "00" * 12 + "aB" * 20], "data": WORD}
    rpc = Rpc(wire, told(reply_to(lambda method, params: asked.append(params[0]) or [log])))

    events = Contract(rpc, ADDRESS, block=10_005, from_block=5).events(
        "PermissionGranted(uint256,address)", ["uint256"]
    )

    ranges = sorted((wanted["fromBlock"], wanted["toBlock"]) for wanted in asked)
    assert ranges == [("0x2715", "0x2715"), ("0x5", "0x2714")]
    assert {wanted["topics"][0] for wanted in asked} == {
        REGISTRY["events"]["PermissionGranted(uint256,address)"]["topic0"]
    }
    assert [(event.number(0), event.address(1), event.values) for event in events] == [(7, "0x" + "ab" * 20, (1,))] * 2


def test_an_answer_of_another_shape_names_the_call(wire, told):
    rpc = Rpc(wire, told(reply_to(lambda method, params: "0x")))

    with pytest.raises(UnreachableError, match=r"filesCount\(\) answered something else than uint256: wrong contract"):
        Contract(rpc, ADDRESS, block=1).read("filesCount()", "uint256")


def test_an_address_without_code_is_said(wire, told):
    rpc = Rpc(wire, told(reply_to(lambda method, params: "0x")))

    with pytest.raises(UnreachableError, match=f"no contract at the registry's address {ADDRESS}"):
        Contract(rpc, ADDRESS, block=1).check_code("registry")


def test_what_is_no_utf8_on_chain_is_read_all_the_same(wire, told):
    file = eth_abi.encode([registry.FILE], [(1, ADDRESS, b"\xff", 0, 1)])

    def answer(method, params):
        if method == "eth_getLogs":
            return []
        return WORD if params[0]["data"] == "0xdfb5e9ba" else "0x" + file.hex()

    files = registry.read_files(Contract(Rpc(wire, told(reply_to(answer))), ADDRESS, block=1), [])

    assert files == (registry.File(1, ADDRESS, "\ufffd", {}, frozenset()),)


def test_every_signature_that_is_asked_for_is_one_of_the_real_contracts():
    source = Path(registry.__file__).read_text()

    for signature in (
        "filesCount()",
        "files(uint256)",
        "filePermissions(uint256,address)",
        "fileProofs(uint256,uint256)",
    ):
        assert f'"{signature}"' in source
        assert signature in REGISTRY["functions"]
    for signature in ("fileJobIds(uint256)", "jobs(uint256)"):
        assert f'"{signature}"' in source
        assert signature in TEE_POOL["functions"]
    for signature in ("FileAddedV2(uint256,address,string,uint256)", "FileAdded(uint256,address,string)"):
        assert f'"{signature}"' in source
        assert signature in REGISTRY["events"]
    assert "RewardRequested(address,uint256,uint256,uint256)" in SELECTORS["other_topics"]
