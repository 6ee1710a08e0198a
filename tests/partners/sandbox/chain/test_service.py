"""Faults, batches and the log, over real connections."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from benchmarks._chain import RpcError
from partners.sandbox.faults import Fault


def post(chain, body, path="/"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(chain.rpc_url + path, data)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def get(chain, path):
    with urllib.request.urlopen(chain.rpc_url + path, timeout=10) as response:
        return json.load(response)


def call(method, *params, id=1):
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": list(params)}


def test_a_batch_is_answered_one_by_one(chain):
    answers = post(chain, [call("eth_chainId", id=7), call("eth_nothing", id=8), {"id": 9}, "nonsense"])

    assert answers[0] == {"jsonrpc": "2.0", "id": 7, "result": "0x39d0"}
    assert [answer["id"] for answer in answers] == [7, 8, 9, None]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32601, -32600, -32600]


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [(b"{", "/", 400), ({"kind": "x", "nothing": 1}, "/_sandbox/faults", 400)],
)
def test_what_cannot_be_read_is_refused(chain, body, path, status):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(chain, body, path)

    assert caught.value.code == status
    caught.value.close()


def test_pages_that_do_not_exist_are_404(chain):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(chain, "/other")

    assert caught.value.code == 404
    caught.value.close()


def test_faults_are_armed_over_http_and_counted(chain, client):
    armed = post(chain, {"kind": "rpc_500", "match": "^eth_blockNumber$"}, "/_sandbox/faults")
    assert armed == {"rpc_500": 0}

    client.rpc("eth_chainId")
    with pytest.raises(urllib.error.HTTPError) as caught:
        client.rpc("eth_blockNumber")
    caught.value.close()

    assert caught.value.code == 500
    assert get(chain, "/_sandbox/faults") == {"rpc_500": 1}
    assert client.rpc("eth_blockNumber")
    entry = get(chain, "/_sandbox/log")[0]
    assert (entry["method"], entry["fault"], entry["answer"]) == ("eth_blockNumber", "rpc_500", "refused")


def test_a_429_says_when_to_come_back(chain, client):
    chain.faults.arm(Fault(kind="rpc_429", seconds=1.2))

    with pytest.raises(urllib.error.HTTPError) as caught:
        client.rpc("eth_chainId")
    caught.value.close()

    assert caught.value.code == 429
    assert caught.value.headers["Retry-After"] == "2"


def test_a_refused_broadcast_is_not_accepted(chain, client, transfer):
    chain.faults.arm(Fault(kind="rpc_429", match="^eth_sendRawTransaction 0x"))
    signed = transfer(0)

    with pytest.raises(urllib.error.HTTPError) as caught:
        client.broadcast(signed)
    caught.value.close()

    assert client.rpc("eth_getTransactionByHash", signed.hash) is None
    assert client.broadcast(signed) == ""


def test_an_answer_can_be_held(chain, client):
    chain.faults.arm(Fault(kind="rpc_timeout", seconds=0.3, match="eth_chainId"))
    started = time.monotonic()

    assert client.rpc("eth_chainId") == "0x39d0"

    assert time.monotonic() - started >= 0.3
    assert chain.log[0]["fault"] == "rpc_timeout"


def test_a_lost_response_leaves_the_transaction_accepted(chain, client, transfer):
    chain.faults.arm(Fault(kind="broadcast_lost_response"))
    signed = transfer(0)

    with pytest.raises(http.client.RemoteDisconnected):
        client.broadcast(signed)

    assert client.broadcast(signed) == "already known"
    chain.node.mine()
    assert client.rpc("eth_getTransactionReceipt", signed.hash)["status"] == "0x1"
    answers = [(entry["tx_hash"], entry["fault"], entry["answer"]) for entry in client.rpc("sandbox_log")]
    assert answers == [
        (signed.hash, "broadcast_lost_response", "accepted"),
        (signed.hash, "", "already known"),
    ]


def test_a_held_broadcast_is_in_the_log_at_once(chain, client, transfer):
    chain.faults.arm(Fault(kind="broadcast_hold", seconds=30))
    signed = transfer(0)
    waiting = threading.Thread(target=lambda: pytest.raises(http.client.RemoteDisconnected, client.broadcast, signed))
    waiting.start()

    def held():
        return [entry for entry in get(chain, "/_sandbox/log") if entry["fault"] == "broadcast_hold"]

    entry = client.until(held, "the held broadcast")[0]
    assert (entry["tx_hash"], entry["nonce"], entry["sender"]) == (signed.hash, 0, client.address("signer").lower())
    assert waiting.is_alive()
    chain.node.mine()
    assert client.rpc("eth_getTransactionReceipt", signed.hash)["status"] == "0x1"
    chain.stop()
    waiting.join(timeout=5)
    assert not waiting.is_alive()


def test_a_dropped_broadcast_answers_and_does_nothing(chain, client, transfer):
    chain.faults.arm(Fault(kind="broadcast_dropped"))
    signed = transfer(0)

    assert client.broadcast(signed) == ""

    chain.node.mine()
    assert client.rpc("eth_getTransactionByHash", signed.hash) is None
    assert chain.log[-1]["fault"] == "broadcast_dropped"
    assert client.broadcast(signed) == ""


def test_no_fault_is_spent_on_what_the_pool_refuses(chain, client, transfer):
    client.broadcast(transfer(0))
    chain.node.mine()
    chain.faults.arm(Fault(kind="broadcast_lost_response"))

    assert client.broadcast(transfer(0, fee=20)).startswith("nonce too low")

    assert chain.faults.counts() == {"broadcast_lost_response": 0}


def test_a_node_that_is_behind_knows_neither_new_blocks_nor_the_pool(chain, client, transfer):
    mined, waiting = transfer(0), transfer(1)
    client.broadcast(mined)
    chain.node.mine()
    client.broadcast(waiting)
    head, who = chain.node.head.number, client.address("signer")
    chain.faults.arm(Fault(kind="rpc_behind", seconds=1, times=5, per_subject=2))

    assert client.rpc("eth_blockNumber") == hex(head - 1)
    assert client.rpc("eth_getTransactionReceipt", mined.hash) is None
    assert client.rpc("eth_getTransactionByHash", waiting.hash) is None
    assert client.rpc("eth_getTransactionByHash", mined.hash) is None
    assert client.rpc("eth_getTransactionCount", who, "pending") == "0x0"
    assert client.rpc("eth_getTransactionCount", who, "pending") == "0x2"
    assert chain.faults.counts() == {"rpc_behind": 5}


def test_the_admin_can_pause_and_set_up_contracts(chain, client):
    assert client.rpc("sandbox_pause", "registry") is True
    assert client.view("registry", "paused") is True
    assert client.rpc("sandbox_pause", "registry", False) is True
    assert client.view("registry", "paused") is False
    assert client.rpc("sandbox_transact", "tee_pool", "updateTeeFee", [5]) is True
    assert client.view("tee_pool", "teeFee") == 5


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (["nowhere", "pause"], "no contract is called 'nowhere'"),
        (["registry", "explode"], "DataRegistry has no function 'explode'"),
        (["registry", "unpause"], "DataRegistry.unpause reverted"),
    ],
)
def test_what_the_admin_cannot_do_is_said(client, params, said):
    with pytest.raises(RpcError, match=said):
        client.rpc("sandbox_transact", *params)


def test_many_clients_at_once_get_right_answers(chain, client, transfer):
    signed = [transfer(nonce) for nonce in range(40)]
    said = []
    threads = [threading.Thread(target=lambda tx=tx: said.append(client.broadcast(tx))) for tx in signed]
    threads += [threading.Thread(target=chain.node.mine) for _ in range(5)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain.node.mine()

    assert said == [""] * 40
    assert client.next_nonce("signer") == 40
    assert {client.rpc("eth_getTransactionReceipt", tx.hash)["status"] for tx in signed} == {"0x1"}
