"""Blocks, reorgs and the pool of a node, as a client sees them over its socket."""

import pytest
from eth_utils import to_canonical_address

ONE = 10**18


def receipt(client, signed):
    return client.rpc("eth_getTransactionReceipt", signed.hash)


def test_a_block_is_mined_on_demand(chain, client, transfer):
    signed = transfer(0)
    assert client.broadcast(signed) == ""
    assert receipt(client, signed) is None

    assert int(client.rpc("sandbox_mine", 2), 16) == chain.node.head.number

    assert receipt(client, signed)["blockNumber"] == hex(chain.node.head.number - 1)


def test_sixty_transactions_fit_a_block_and_the_rest_the_next(chain, client, transfer):
    signed = [transfer(nonce) for nonce in range(61)]
    for each in signed:
        client.broadcast(each)

    chain.node.mine(2)

    number = chain.node.head.number
    assert [int(receipt(client, each)["blockNumber"], 16) for each in signed] == [number - 1] * 60 + [number]


def test_what_does_not_fit_the_gas_of_a_block_waits_for_the_next(chain, client, transfer):
    signed = [transfer(nonce, to=None, data="0xfe", gas=40_000_000) for nonce in range(2)]  # burns all its gas
    for each in signed:
        client.broadcast(each)

    chain.node.mine(2)

    number = chain.node.head.number
    receipts = [receipt(client, each) for each in signed]
    assert [(each["status"], each["gasUsed"]) for each in receipts] == [("0x0", hex(40_000_000))] * 2
    assert [int(each["blockNumber"], 16) for each in receipts] == [number - 1, number]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gas": 60_000_001}, "exceeds block gas limit"),
        ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"chainId": 1480}, "invalid sender: invalid chain id for signer: have 1480 want 14800"),
    ],
)
def test_a_transaction_that_can_never_be_mined_is_refused(client, transfer, fields, said):
    assert client.broadcast(transfer(0, **fields)) == said


def test_types_of_transaction_that_nobody_needs_are_refused(client, transfer):
    with_access_list = client.sign_raw(
        "signer",
        type=1,
        to=client.address("signer"),
        gas=30_000,
        value=0,
        accessList=[],
        gasPrice=10**10,
        maxFeePerGas=None,
        maxPriorityFeePerGas=None,
    )

    assert client.broadcast(with_access_list) == "transaction type not supported"


def test_an_unreadable_transaction_is_refused(client):
    for raw in ("0x", "0x02", "0xdeadbeef"):
        with pytest.raises(Exception, match="cannot decode the transaction"):
            client.rpc("eth_sendRawTransaction", raw)


def test_a_dropped_transaction_is_forgotten_and_can_come_again(chain, client, transfer):
    signed = transfer(0)
    client.broadcast(signed)

    assert client.rpc("sandbox_drop", signed.hash) is True
    assert client.rpc("sandbox_drop", signed.hash) is False
    chain.node.mine()
    assert client.rpc("eth_getTransactionByHash", signed.hash) is None

    assert client.broadcast(signed) == ""
    chain.node.mine()
    assert receipt(client, signed)["status"] == "0x1"


def test_a_reorg_mines_the_same_transactions_in_other_blocks(chain, client, transfer):
    signed = transfer(0)
    client.broadcast(signed)
    chain.node.mine()
    before, head = receipt(client, signed), chain.node.head.number

    client.rpc("sandbox_reorg", 1)

    after = receipt(client, signed)
    assert after["blockNumber"] == before["blockNumber"]
    assert after["blockHash"] != before["blockHash"]
    assert client.rpc("eth_getBlockByHash", before["blockHash"]) is None
    assert chain.node.head.number == head + 1


def test_an_empty_reorg_takes_receipt_and_file_away_until_the_next_block(chain, client):
    url = client.new_url()
    signed = client.sign("signer", "registry", "addFile", url)
    client.broadcast(signed)
    chain.node.mine()
    file_id = client.view("registry", "fileIdByUrl", url)

    client.rpc("sandbox_reorg", 1, {"empty": True})

    assert receipt(client, signed) is None
    assert client.view("registry", "fileIdByUrl", url) == 0
    assert client.rpc("eth_getTransactionByHash", signed.hash)["blockHash"] is None
    assert client.broadcast(signed) == "already known"
    chain.node.mine()
    assert client.view("registry", "fileIdByUrl", url) == file_id


def test_a_reorg_forgets_what_it_is_told_to_drop(chain, client, transfer):
    kept, lost = transfer(0), transfer(1)
    client.broadcast(kept)
    client.broadcast(lost)
    chain.node.mine()

    client.rpc("sandbox_reorg", 1, {"drop": [lost.hash]})

    assert receipt(client, kept)["status"] == "0x1"
    assert client.rpc("eth_getTransactionByHash", lost.hash) is None
    assert client.next_nonce("signer") == 1


def test_a_reorg_can_change_the_order_so_that_file_ids_move(chain, client):
    urls = [client.new_url(), client.new_url()]
    signed = [
        client.sign(role, "registry", "addFile", url) for role, url in zip(("signer", "stranger"), urls, strict=True)
    ]
    for each in signed:
        client.broadcast(each)
    chain.node.mine()
    ids = [client.view("registry", "fileIdByUrl", url) for url in urls]

    client.rpc("sandbox_reorg", 1, {"first": [each.hash for each in sorted(signed, key=lambda s: s != signed[1])]})

    second = [client.view("registry", "fileIdByUrl", url) for url in urls]
    assert second == [2, 1]
    assert sorted(ids) == [1, 2]


def test_a_reorg_loses_what_its_sender_can_no_longer_pay(chain, client, transfer):
    fields = {"to": client.address("signer"), "gas": 21_000}
    chain.keys["heir"] = "0x" + "17" * 32
    client.rpc("sandbox_setBalance", client.address("heir"), ONE)
    kept, lost = transfer(0), client.sign_raw("heir", **fields)
    client.broadcast(kept)
    client.broadcast(lost)
    chain.node.mine()

    client.rpc("sandbox_reorg", 2)

    assert receipt(client, kept)["status"] == "0x1"
    assert client.rpc("eth_getTransactionByHash", lost.hash) is None


def test_a_reorg_never_goes_below_the_genesis(chain, client):
    client.rpc("sandbox_reorg", 10_000)

    assert client.rpc("eth_getBlockByNumber", "0x0")["number"] == "0x0"
    assert client.rpc("eth_getCode", client.addresses["registry"]) != "0x"  # the deployment was mined again


def test_a_balance_can_be_set(client):
    client.rpc("sandbox_setBalance", client.address("stranger"), hex(7))

    assert client.balance(client.address("stranger")) == 7


def test_what_can_no_longer_be_paid_leaves_the_pool(chain, client, transfer):
    signed = transfer(0)
    client.broadcast(signed)

    client.rpc("sandbox_setBalance", client.address("signer"), 0)

    assert client.rpc("eth_getTransactionByHash", signed.hash) is None


def test_the_clock_jumps_on_from_the_latest_block(chain, client):
    chain.node.mine(100)
    before = chain.node.head.header.timestamp

    client.rpc("evm_increaseTime", 500)
    client.rpc("evm_mine")

    assert chain.node.head.header.timestamp >= before + 500


def test_the_base_fee_falls_while_blocks_are_empty(chain):
    before = chain.node.head.header.base_fee_per_gas

    chain.node.mine(5)

    assert chain.node.head.header.base_fee_per_gas < before


def test_a_fee_below_the_base_fee_waits(chain, client, transfer):
    base = chain.node.head.header.base_fee_per_gas
    signed = client.sign_raw(
        "signer", to=client.address("signer"), gas=21_000, maxFeePerGas=base // 4, maxPriorityFeePerGas=1
    )
    client.broadcast(signed)

    chain.node.mine()
    assert receipt(client, signed) is None

    chain.node.mine(15)
    assert receipt(client, signed)["status"] == "0x1"


def test_the_higher_tip_wins_the_race_for_a_url(chain, client):
    url = client.new_url()
    victim = client.sign("signer", "registry", "addFile", url)
    attacker = client.sign("stranger", "registry", "addFile", url, maxPriorityFeePerGas=2 * 10**9)
    client.broadcast(victim)
    client.broadcast(attacker)

    chain.node.mine()

    assert [receipt(client, each)["status"] for each in (victim, attacker)] == ["0x0", "0x1"]
    owner = client.view("registry", "files", client.view("registry", "fileIdByUrl", url))[1]
    assert to_canonical_address(owner) == to_canonical_address(client.address("stranger"))


def test_forty_registrations_go_into_one_block(chain, client):
    urls = [client.new_url() for _ in range(40)]
    dlp, owner = client.addresses["dlp"], client.address("signer")
    for nonce, url in enumerate(urls):
        args = (url, owner, [(dlp, "ab" * 257)])
        client.broadcast(client.sign("signer", "registry", "addFileWithPermissions", *args, gas=1_200_000, nonce=nonce))

    chain.node.mine()

    assert len(chain.node.head.mined) == 40
    assert [client.view("registry", "fileIdByUrl", url) for url in urls] == list(range(1, 41))
