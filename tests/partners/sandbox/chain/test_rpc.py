"""The reading methods, in geth's shapes."""

import pytest
from eth_abi import decode

from benchmarks._chain import RpcError, selector

UNKNOWN = "0x" + "ab" * 32


@pytest.fixture
def registered(chain, client):
    """A registration in the latest block; gives url and receipt."""
    url = client.new_url()
    args = (url, client.address("signer"), [(client.addresses["dlp"], "ab" * 257)])
    signed = client.sign("signer", "registry", "addFileWithPermissions", *args)
    client.broadcast(signed)
    chain.node.mine()
    return url, client.rpc("eth_getTransactionReceipt", signed.hash)


def test_the_chain_names_itself(chain, client):
    assert client.rpc("eth_chainId") == "0x39d0"
    assert client.rpc("net_version") == "14800"
    assert client.rpc("web3_clientVersion") == "DataUnionSandbox/1"
    assert client.rpc("eth_syncing") is False
    assert client.rpc("eth_blockNumber") == hex(chain.node.head.number)
    assert client.rpc("web3_sha3", "0x") == "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_tags_name_blocks(chain, client):
    chain.node.mine(20)
    head = chain.node.head.number

    def number(tag):
        return int(client.rpc("eth_getBlockByNumber", tag, False)["number"], 16)

    tags = {"latest": head, "pending": head, "safe": head - 8, "finalized": head - 16, "earliest": 0, hex(3): 3}
    assert {tag: number(tag) for tag in tags} == tags
    assert client.rpc("eth_getBlockByNumber", hex(head + 1), False) is None
    assert client.rpc("eth_getBlockByHash", UNKNOWN) is None


def test_a_block_shows_hashes_or_whole_transactions(client, registered):
    receipt = registered[1]

    short = client.rpc("eth_getBlockByHash", receipt["blockHash"], False)
    full = client.rpc("eth_getBlockByNumber", receipt["blockNumber"], True)

    assert short["transactions"] == [receipt["transactionHash"]]
    assert full["transactions"] == [client.rpc("eth_getTransactionByHash", receipt["transactionHash"])]
    assert short["hash"] == full["hash"] == receipt["blockHash"]
    parent = client.rpc("eth_getBlockByNumber", hex(int(full["number"], 16) - 1), False)
    assert full["parentHash"] == parent["hash"]


def test_a_receipt_has_gas_price_and_logs_in_order(chain, client, registered):
    _, receipt = registered

    assert receipt["status"] == "0x1"
    assert receipt["type"] == "0x2"
    assert receipt["contractAddress"] is None
    assert receipt["to"] == client.addresses["registry"]
    assert receipt["from"] == client.address("signer")
    assert [log["logIndex"] for log in receipt["logs"]] == ["0x0", "0x1", "0x2"]
    base = int(client.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert int(receipt["effectiveGasPrice"], 16) == base + 10**9
    assert 400_000 < int(receipt["gasUsed"], 16) < 900_000


def test_a_legacy_transaction_and_a_creation_are_shown_as_such(chain, client):
    price = 3 * int(client.rpc("eth_gasPrice"), 16)
    signed = client.sign_raw(
        "signer", type=None, data="0x00", gas=100_000, gasPrice=price, maxFeePerGas=None, maxPriorityFeePerGas=None
    )
    waiting = client.broadcast(signed)
    shown = client.rpc("eth_getTransactionByHash", signed.hash)
    chain.node.mine()
    receipt = client.rpc("eth_getTransactionReceipt", signed.hash)

    assert waiting == ""
    assert (shown["type"], shown["to"], shown["gasPrice"], shown["blockNumber"]) == ("0x0", None, hex(price), None)
    assert "maxFeePerGas" not in shown
    assert receipt["contractAddress"].startswith("0x")
    assert receipt["effectiveGasPrice"] == hex(price)


def test_the_pending_count_includes_what_waits_and_older_blocks_count_less(chain, client, transfer):
    who, before = client.address("signer"), chain.node.head.number
    client.broadcast(transfer(0))
    chain.node.mine()
    client.broadcast(transfer(1))

    counts = [client.rpc("eth_getTransactionCount", who, tag) for tag in ("pending", "latest", hex(before))]

    assert counts == ["0x2", "0x1", "0x0"]


def test_calls_read_any_block_by_number_or_hash(chain, client, registered):
    url, receipt = registered
    call = client._fields("signer", "registry", "fileIdByUrl", (url,), 0)
    chain.node.mine()
    earlier = hex(int(receipt["blockNumber"], 16) - 1)

    def value(tag):
        return int(client.rpc("eth_call", call, tag), 16)

    assert value("latest") == value({"blockHash": receipt["blockHash"]}) == 1
    assert value(earlier) == value({"blockNumber": earlier}) == 0
    with pytest.raises(RpcError, match="header not found"):
        client.rpc("eth_call", call, hex(chain.node.head.number + 1))


def test_a_revert_is_answered_as_geth_does(client, registered):
    call = client._fields("signer", "registry", "addFile", (registered[0],), 0)

    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(RpcError, match=r"^execution reverted$") as caught:
            client.rpc(method, call, "latest")
        assert caught.value.code == 3
        assert caught.value.data == selector("FileUrlAlreadyUsed()")


def test_other_failures_of_a_call_say_what_they_are(client):
    call = client._fields("signer", "registry", "addFile", (client.new_url(),), 0)

    with pytest.raises(RpcError, match="(?i)out of gas"):
        client.rpc("eth_call", call | {"gas": hex(40_000)}, "latest")
    with pytest.raises(RpcError, match="intrinsic gas too low"):
        client.rpc("eth_call", call | {"gas": hex(100)}, "latest")
    with pytest.raises(RpcError, match=r"gas required exceeds allowance \(40000\)"):
        client.rpc("eth_estimateGas", call | {"gas": hex(40_000)})
    with pytest.raises(RpcError, match=r"insufficient funds for gas \* price \+ value"):
        client.rpc("eth_call", {"to": client.address("signer"), "value": hex(10**30)}, "latest")


def test_the_estimate_is_enough_even_through_two_contracts(chain, client):
    url = client.new_url()
    client.broadcast(client.sign("signer", "registry", "addFile", url))
    chain.node.mine()
    fee = client.view("tee_pool", "teeFee")
    client.broadcast(client.sign("signer", "tee_pool", "requestContributionProof", 1, value=fee))
    chain.node.mine()
    proof = client.attest("tee", url, 1, 1, "instruction")
    estimate = int(client.rpc("eth_estimateGas", client._fields("tee", "tee_pool", "addProof", (1, proof), 0)), 16)

    signed = client.sign("tee", "tee_pool", "addProof", 1, proof, gas=estimate)
    client.broadcast(signed)
    chain.node.mine()

    receipt = client.rpc("eth_getTransactionReceipt", signed.hash)
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) > estimate * 0.9


def test_fees_follow_the_latest_block(chain, client):
    base = chain.node.head.header.base_fee_per_gas
    head = chain.node.head.number

    assert client.rpc("eth_maxPriorityFeePerGas") == hex(10**9)
    assert client.rpc("eth_gasPrice") == hex(base + 10**9)
    history = client.rpc("eth_feeHistory", hex(3), "latest", [10, 50])
    assert history["oldestBlock"] == hex(head - 2)
    assert history["baseFeePerGas"][2] == hex(base)
    assert len(history["baseFeePerGas"]) == 4
    assert len(history["gasUsedRatio"]) == 3
    assert history["reward"] == [[hex(10**9)] * 2] * 3
    assert "reward" not in client.rpc("eth_feeHistory", 1, "latest")


def test_logs_are_found_by_address_topic_range_and_block(chain, client, registered):
    _, receipt = registered
    number, registry = receipt["blockNumber"], client.addresses["registry"]
    added, granted = receipt["logs"][0]["topics"], receipt["logs"][2]["topics"]

    def found(**wanted):
        return client.rpc("eth_getLogs", wanted)

    assert found(blockHash=receipt["blockHash"]) == receipt["logs"]
    assert found() == receipt["logs"]  # from latest to latest
    assert found(fromBlock=number, toBlock="latest", address=[registry.lower()]) == receipt["logs"]
    assert found(address=client.addresses["dlp"]) == []
    assert found(topics=[[added[0], granted[0]], added[1]]) == [receipt["logs"][0], receipt["logs"][2]]
    assert found(topics=[None, None, granted[2]]) == [receipt["logs"][2]]
    assert found(topics=[None] * 4) == []
    assert found(fromBlock=hex(int(number, 16) + 1)) == []
    assert found(fromBlock=number, toBlock=hex(10_000)) == receipt["logs"]
    with pytest.raises(RpcError, match="unknown block"):
        found(blockHash=UNKNOWN)


def test_what_is_unknown_is_null(client):
    assert client.rpc("eth_getTransactionByHash", UNKNOWN) is None
    assert client.rpc("eth_getTransactionReceipt", UNKNOWN) is None
    assert client.rpc("eth_getBalance", "0x" + "12" * 20) == "0x0"
    assert client.rpc("eth_getCode", "0x" + "12" * 20) == "0x"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_nothing", [], -32601),
        ("eth_getBalance", [], -32602),
        ("eth_getBalance", ["0x12"], -32602),
        ("eth_getTransactionReceipt", [7], -32602),
        ("eth_getBlockByNumber", ["newest"], -32602),
        ("eth_call", [{"data": "0xzz"}], -32602),
        ("sandbox_mine", ["many"], -32602),
    ],
)
def test_nonsense_is_an_error_and_no_crash(client, method, params, code):
    with pytest.raises(RpcError) as caught:
        client.rpc(method, *params)

    assert caught.value.code == code


def test_the_dlp_and_the_tee_are_wired(chain, client):
    tee = client.address("tee").lower()

    assert client.view("tee_pool", "activeTeeList") == (tee,)
    assert client.view("refiner_registry", "refiners", 1)[0] == chain.addresses.dlp_id
    shown = client.rpc("eth_call", client._fields("signer", "dlp", "proofInstruction", (), 0), "latest")
    assert decode(["string"], bytes.fromhex(shown[2:])) == ("https://proof.invalid/v1",)
