"""The reading methods of Ethereum's JSON-RPC, answered from a node; no HTTP, no faults and no broadcast here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils import decode_hex, encode_hex, keccak

from partners.sandbox.chain.evm import Block, Call, InsufficientFundsError
from partners.sandbox.chain.node import Node
from partners.sandbox.chain.shapes import Json, block_json, logs_json, receipt_json, tx_json, waiting_json

TIP_WEI = 10**9
INVALID_PARAMS, METHOD_NOT_FOUND, INVALID_REQUEST, SERVER_ERROR, REVERTED = -32602, -32601, -32600, -32000, 3
CALL_STIPEND = 2300


class RpcError(Exception):
    """An error answer of JSON-RPC."""

    def __init__(self, message: str, *, code: int = SERVER_ERROR, data: str | None = None) -> None:
        super().__init__(message)
        self.body: Json = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


@dataclass(frozen=True)
class View:
    """The chain up to block `head`, as a node that is behind sees it; `pool` tells whether it knows the mempool."""

    node: Node
    head: int
    pool: bool = True

    @classmethod
    def of(cls, node: Node, blocks_behind: int = 0) -> View:
        """Return the view of an up-to-date node, or of one some blocks behind."""
        return cls(node, max(0, node.head.number - blocks_behind), pool=blocks_behind == 0)

    def block(self, tag: Any) -> Block | None:
        """Return the block that a tag, number, hash or EIP-1898 object names, or None."""
        if isinstance(tag, dict):
            return self.block_by_hash(tag["blockHash"]) if "blockHash" in tag else self.block(tag["blockNumber"])
        depth = self.node.finalized_depth
        named = {
            "latest": self.head,
            "pending": self.head,
            "safe": max(0, self.head - depth // 2),
            "finalized": max(0, self.head - depth),
            "earliest": 0,
        }
        number = named[tag] if tag in named else to_int(tag)
        return self.node.blocks[number] if 0 <= number <= self.head else None

    def block_by_hash(self, block_hash: Any) -> Block | None:
        """Return the canonical block of this hash, or None."""
        block = self.node.find_block(to_bytes(block_hash))
        return block if block and block.number <= self.head else None

    def state_block(self, tag: Any) -> Block:
        """Return the block whose state a call reads. Raises RpcError when there is none."""
        block = self.block(tag)
        if block is None:
            raise RpcError("header not found")
        return block


def to_int(value: Any) -> int:
    """Read a quantity. Raises RpcError."""
    try:
        return int(value, 16)
    except (TypeError, ValueError) as error:
        raise RpcError(f"invalid argument: {value!r} is not a hex quantity", code=INVALID_PARAMS) from error


def to_bytes(value: Any) -> bytes:
    """Read hex data. Raises RpcError."""
    try:
        return bytes(decode_hex(value))
    except (TypeError, ValueError) as error:
        raise RpcError(f"invalid argument: {value!r} is not hex data", code=INVALID_PARAMS) from error


def answer(view: View, method: str, params: Sequence[Any]) -> Any:
    """Return the result of a method. Raises RpcError, and TypeError and the like for parameters of the wrong shape."""
    handler = METHODS.get(method)
    if handler is None:
        raise RpcError(f"the method {method} does not exist/is not available", code=METHOD_NOT_FOUND)
    with view.node.lock:
        return handler(view, *params)


def _get_block_by_number(view: View, tag: Any, full: bool = False) -> Json | None:
    block = view.block(tag)
    return block_json(block, full=full) if block else None


def _get_block_by_hash(view: View, block_hash: str, full: bool = False) -> Json | None:
    block = view.block_by_hash(block_hash)
    return block_json(block, full=full) if block else None


def _get_balance(view: View, who: str, tag: Any = "latest") -> str:
    return hex(view.node.state(view.state_block(tag)).get_balance(to_bytes(who)))


def _get_code(view: View, who: str, tag: Any = "latest") -> str:
    return str(encode_hex(view.node.state(view.state_block(tag)).get_code(to_bytes(who))))


def _get_transaction_count(view: View, who: str, tag: Any = "latest") -> str:
    sender = to_bytes(who)
    mined = view.node.nonce(sender, view.state_block(tag))
    return hex(view.node.pool.pending_nonce(sender, mined) if tag == "pending" and view.pool else mined)


def _read_call(view: View, fields: Json) -> Call:
    limit = view.node.head.header.gas_limit
    return Call(
        sender=to_bytes(fields.get("from") or "0x" + "00" * 20),
        to=to_bytes(fields.get("to") or "0x"),
        data=to_bytes(fields.get("input") or fields.get("data") or "0x"),
        value=to_int(fields.get("value") or "0x0"),
        gas=min(limit, to_int(fields["gas"]) if fields.get("gas") else limit),
    )


def _simulate(view: View, call: Call, block: Block) -> Any:
    try:
        outcome = view.node.simulate(block, call)
    except InsufficientFundsError as error:
        raise RpcError(f"insufficient funds for gas * price + value: address {encode_hex(call.sender)}") from error
    if outcome.revert is not None:
        raise RpcError("execution reverted", code=REVERTED, data=encode_hex(outcome.revert))
    return outcome


def _call(view: View, fields: Json, tag: Any = "latest") -> str:
    outcome = _simulate(view, _read_call(view, fields), view.state_block(tag))
    if outcome.error:
        raise RpcError(outcome.error)
    return str(encode_hex(outcome.output))


def _estimate_gas(view: View, fields: Json, tag: Any = "latest") -> str:
    block, call = view.state_block(tag), _read_call(view, fields)
    outcome = _simulate(view, call, block)
    if outcome.error:
        raise RpcError(f"gas required exceeds allowance ({call.gas})")
    # What geth tries first: the gas used, and the 64th that a call must hold back.
    gas = min(call.gas, (outcome.gas_used + outcome.refund + CALL_STIPEND) * 64 // 63)
    return hex(gas)


def _fee_history(view: View, count: Any, newest: Any, percentiles: Sequence[float] | None = None) -> Json:
    last = view.state_block(newest).number
    first = max(0, last - (count if isinstance(count, int) else to_int(count)) + 1)
    blocks = view.node.blocks[first : last + 1]
    following = view.node.evm.next_header(blocks[-1].header, timestamp=blocks[-1].header.timestamp + 1)
    history: Json = {
        "oldestBlock": hex(first),
        "baseFeePerGas": [hex(b.header.base_fee_per_gas) for b in blocks] + [hex(following.base_fee_per_gas)],
        "gasUsedRatio": [b.header.gas_used / b.header.gas_limit for b in blocks],
    }
    if percentiles:
        history["reward"] = [[hex(TIP_WEI)] * len(percentiles) for _ in blocks]
    return history


def _gas_price(view: View) -> str:
    return hex(view.node.blocks[view.head].header.base_fee_per_gas + TIP_WEI)


def _get_transaction_by_hash(view: View, tx_hash: str) -> Json | None:
    found = view.node.find_mined(tx_hash.lower())
    if found and found[0].number <= view.head:
        block, index, mined = found
        return tx_json(mined.tx, block, index)
    waiting = view.node.pool.find(tx_hash.lower()) if view.pool else None
    return waiting_json(waiting) if waiting else None


def _get_transaction_receipt(view: View, tx_hash: str) -> Json | None:
    found = view.node.find_mined(tx_hash.lower())
    return receipt_json(found[0], found[1]) if found and found[0].number <= view.head else None


def _get_logs(view: View, wanted: Json) -> list[Json]:
    if "blockHash" in wanted:
        block = view.block_by_hash(wanted["blockHash"])
        if block is None:
            raise RpcError("unknown block")
        blocks = [block]
    else:
        first = view.block(wanted.get("fromBlock", "latest"))
        last = view.block(wanted.get("toBlock", "latest")) or view.node.blocks[view.head]
        blocks = view.node.blocks[first.number : last.number + 1] if first else []
    logs = [log for block in blocks for index in range(len(block.mined)) for log in logs_json(block, index)]
    return [log for log in logs if _matches(log, wanted)]


def _matches(log: Json, wanted: Json) -> bool:
    addresses = wanted.get("address") or []
    if addresses and log["address"].lower() not in [a.lower() for a in _as_list(addresses)]:
        return False
    topics = wanted.get("topics") or []
    if len(topics) > len(log["topics"]):
        return False
    return all(
        asked is None or has in [topic.lower() for topic in _as_list(asked)]
        for asked, has in zip(topics, log["topics"], strict=False)
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


METHODS: dict[str, Callable[..., Any]] = {
    "web3_clientVersion": lambda _: "DataUnionSandbox/1",
    "web3_sha3": lambda _, data: encode_hex(keccak(to_bytes(data))),
    "net_version": lambda view: str(view.node.chain_id),
    "eth_chainId": lambda view: hex(view.node.chain_id),
    "eth_syncing": lambda _: False,
    "eth_blockNumber": lambda view: hex(view.head),
    "eth_getBlockByNumber": _get_block_by_number,
    "eth_getBlockByHash": _get_block_by_hash,
    "eth_getBalance": _get_balance,
    "eth_getCode": _get_code,
    "eth_getTransactionCount": _get_transaction_count,
    "eth_call": _call,
    "eth_estimateGas": _estimate_gas,
    "eth_gasPrice": _gas_price,
    "eth_maxPriorityFeePerGas": lambda _: hex(TIP_WEI),
    "eth_feeHistory": _fee_history,
    "eth_getTransactionByHash": _get_transaction_by_hash,
    "eth_getTransactionReceipt": _get_transaction_receipt,
    "eth_getLogs": _get_logs,
}
