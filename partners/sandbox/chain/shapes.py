"""Blocks, transactions, receipts and logs as geth's JSON shows them."""

from __future__ import annotations

from typing import Any

from eth_utils import encode_hex, to_checksum_address

from partners.sandbox.chain.evm import Block, Mined
from partners.sandbox.chain.mempool import PoolTx

Json = dict[str, Any]
NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"


def word(value: int) -> str:
    """Return 32 bytes as hex."""
    return f"0x{value:064x}"


def address(value: bytes) -> str:
    """Return a checksummed address."""
    return str(to_checksum_address(value))


def block_json(block: Block, *, full: bool) -> Json:
    """Return a block, with whole transactions or their hashes."""
    header = block.header
    txs = [
        tx_json(mined.tx, block, index) if full else encode_hex(mined.tx.hash)
        for index, mined in enumerate(block.mined)
    ]
    return {
        "number": hex(block.number),
        "hash": encode_hex(block.hash),
        "parentHash": encode_hex(header.parent_hash),
        "nonce": encode_hex(header.nonce),
        "mixHash": encode_hex(header.mix_hash),
        "sha3Uncles": NO_UNCLES,
        "logsBloom": f"0x{header.bloom:0512x}",
        "transactionsRoot": encode_hex(header.transaction_root),
        "stateRoot": encode_hex(header.state_root),
        "receiptsRoot": encode_hex(header.receipt_root),
        "miner": address(header.coinbase),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": encode_hex(header.extra_data),
        "size": hex(600 + sum(len(mined.tx.encode()) for mined in block.mined)),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "transactions": txs,
        "uncles": [],
    }


def tx_json(tx: Any, block: Block | None = None, index: int = 0) -> Json:
    """Return a transaction; block fields are null while it waits."""
    is_dynamic = getattr(tx, "type_id", None) == 2
    shown: Json = {
        "hash": encode_hex(tx.hash),
        "nonce": hex(tx.nonce),
        "from": address(tx.sender),
        "to": address(tx.to) if tx.to else None,
        "value": hex(tx.value),
        "gas": hex(tx.gas),
        "input": encode_hex(tx.data),
        "chainId": hex(tx.chain_id),
        "type": "0x2" if is_dynamic else "0x0",
        "v": hex(tx.y_parity if is_dynamic else tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
        "blockHash": encode_hex(block.hash) if block else None,
        "blockNumber": hex(block.number) if block else None,
        "transactionIndex": hex(index) if block else None,
        "gasPrice": hex(effective_price(tx, block) if block else tx.max_fee_per_gas),
    }
    if is_dynamic:
        shown["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
        shown["accessList"] = []
    return shown


def waiting_json(tx: PoolTx) -> Json:
    """Return a transaction of the mempool."""
    return tx_json(tx.tx)


def effective_price(tx: Any, block: Block) -> int:
    """Return what a mined transaction paid per gas, in wei."""
    base = int(block.header.base_fee_per_gas)
    return int(min(tx.max_fee_per_gas, base + tx.max_priority_fee_per_gas))


def receipt_json(block: Block, index: int) -> Json:
    """Return the receipt of the transaction at `index` of `block`."""
    mined = block.mined[index]
    tx = mined.tx
    return {
        "transactionHash": encode_hex(tx.hash),
        "transactionIndex": hex(index),
        "blockHash": encode_hex(block.hash),
        "blockNumber": hex(block.number),
        "from": address(tx.sender),
        "to": address(tx.to) if tx.to else None,
        "contractAddress": address(mined.created) if mined.created else None,
        "cumulativeGasUsed": hex(mined.cumulative_gas),
        "gasUsed": hex(mined.gas_used),
        "effectiveGasPrice": hex(effective_price(tx, block)),
        "logs": logs_json(block, index),
        "logsBloom": f"0x{mined.bloom:0512x}",
        "status": hex(mined.status),
        "type": "0x2" if getattr(tx, "type_id", None) == 2 else "0x0",
    }


def logs_json(block: Block, index: int) -> list[Json]:
    """Return the logs of the transaction at `index` of `block`."""
    first = sum(len(mined.logs) for mined in block.mined[:index])
    mined: Mined = block.mined[index]
    return [
        {
            "address": address(log.address),
            "topics": [word(topic) for topic in log.topics],
            "data": encode_hex(log.data),
            "blockNumber": hex(block.number),
            "blockHash": encode_hex(block.hash),
            "transactionHash": encode_hex(mined.tx.hash),
            "transactionIndex": hex(index),
            "logIndex": hex(first + offset),
            "removed": False,
        }
        for offset, log in enumerate(mined.logs)
    ]
