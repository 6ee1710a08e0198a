"""The chain itself: blocks, nonces, receipts, gas, broadcasts, and what a node's refusals mean. Knows no contract.

Raises only `partners.errors` and `Refused`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from partners.errors import MisconfiguredError, TransientError
from partners.vana import abi
from partners.vana.rpc import Call, Rpc, RpcError

GWEI, COIN = 10**9, 10**18  # in wei
LARGEST = 2**63 - 1  # what a database's integer holds
NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
SEND_ANSWERS = (
    ("known", r"already known|already imported|known transaction|already exists"),
    ("nonce_used", r"nonce (is )?too low|old ?nonce"),
    ("outbid", r"replacement transaction"),
    ("too_cheap", r"underpriced|base fee|fee ?cap|fee too low|gas price too low"),
)

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound="Chain")


class Refused(Exception):  # noqa: N818 - an answer, not yet a decision
    """A contract refused a call; `name` is its Solidity error or "", `height` the node's latest block or 0."""

    def __init__(self, name: str, height: int = 0) -> None:
        super().__init__(name)
        self.name, self.height = name, height


@dataclass(frozen=True, kw_only=True)
class Head:
    """The latest block."""

    number: int
    timestamp: int
    base_fee_wei: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What simulating a call gave: its gas, the latest block, and the node's suggestion for the tip."""

    gas: int
    head: Head
    tip_wei: int


@dataclass(frozen=True, kw_only=True)
class Action:
    """A call that changes a contract; with its estimate where it was simulated already."""

    to: str
    data: str
    value_wei: int = 0
    estimate: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Log:
    """What a contract told in a transaction."""

    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What came of a mined transaction."""

    tx_hash: str
    block: int
    succeeded: bool
    to: str
    logs: tuple[Log, ...]

    def events(self, topic: str, *, topics: int) -> list[Log]:
        """Return the logs of one event that have at least so many topics; others, nameless ones too, are skipped."""
        return [log for log in self.logs if log.topics[:1] == (topic,) and len(log.topics) >= topics]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What one look at a node shows of a transaction, by its hashes."""

    height: int  # of the latest block
    finalized: int  # 0: the node names none
    used: int  # the payer's nonce
    receipts: list[Receipt]
    is_known: bool  # mined or waiting


def sensible(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Make an answer of another shape than asked for an error of this request only."""

    @wraps(method)
    def guarded(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except NONSENSE:
            message = f"{self._partner}: {method.__name__}: the node answered something that makes no sense"
            raise TransientError(f"{message}; check rpc_url") from None

    return guarded


class Chain:
    """One chain behind one node, and the account that pays for what we send. Thread-safe."""

    def __init__(self, rpc: Rpc, *, partner: str, payer: str) -> None:
        self.rpc, self._partner, self._payer = rpc, partner, payer

    @sensible
    def head(self) -> Head:
        """Return the latest block."""
        return _head(self._call("eth_getBlockByNumber", "latest", False))

    @sensible
    def chain_id(self) -> int:
        """Return the chain's id."""
        return int(self._call("eth_chainId"), 16)

    @sensible
    def has_code(self, address: str) -> bool:
        """Say whether a contract lives at this address."""
        return len(self._call("eth_getCode", address, "latest")) > 2

    @sensible
    def balance_wei(self, address: str) -> int:
        """Return an account's balance."""
        return int(self._call("eth_getBalance", address, "latest"), 16)

    @sensible
    def balance_and_price(self, address: str) -> tuple[int, int]:
        """Return an account's balance and today's price of a unit of gas, both in wei."""
        balance, price = self._ask([("eth_getBalance", [address, "latest"]), ("eth_gasPrice", [])])
        return int(balance, 16), int(price, 16)

    @sensible
    def nonce(self, address: str, block: str) -> int:
        """Return how many transactions of this account are in the chain at `block` ("latest", "pending", a number)."""
        return int(self._call("eth_getTransactionCount", address, block), 16)

    @sensible
    def watch(self, hashes: Sequence[str]) -> Sight:
        """Look at a transaction of the payer, in one request."""
        latest, finalized, used, *found = self.rpc.batch(
            [
                ("eth_blockNumber", []),
                ("eth_getBlockByNumber", ["finalized", False]),
                ("eth_getTransactionCount", [self._payer, "latest"]),
                *(("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes),
                *(("eth_getTransactionByHash", [tx_hash]) for tx_hash in hashes),
            ]
        )
        for answer in (latest, used, *found):
            if isinstance(answer, RpcError):
                raise self.rpc.decide(answer)
        receipts, known = found[: len(hashes)], found[len(hashes) :]
        return Sight(
            height=fitting(int(latest, 16)),
            finalized=fitting(int(finalized["number"], 16)) if isinstance(finalized, dict) else 0,
            used=int(used, 16),
            receipts=[_receipt(one) for one in receipts if one],
            is_known=any(known),
        )

    @sensible
    def look_back(self, address: str, block: int, hashes: Sequence[str]) -> tuple[int, list[Receipt]]:
        """Return an account's nonce at `block` and the receipts that exist, in one request, so from the same node."""
        nonce, *receipts = self._ask(
            [
                ("eth_getTransactionCount", [address, hex(block)]),
                *(("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes),
            ]
        )
        return int(nonce, 16), [_receipt(one) for one in receipts if one]

    def known(self, hashes: Sequence[str]) -> list[bool]:
        """Say for each hash whether the node holds the transaction, mined or waiting."""
        return [bool(tx) for tx in self._ask([("eth_getTransactionByHash", [tx_hash]) for tx_hash in hashes])]

    # writing

    @sensible
    def estimate(self, sender: str, action: Action) -> Estimate:
        """Simulate a call. Raises Refused."""
        call = _as_call(sender, action)
        gas, block, tip = self.rpc.batch(
            [
                ("eth_estimateGas", [call]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
            ]
        )
        if isinstance(gas, RpcError):
            raise self._refusal(gas, call, 0 if isinstance(block, RpcError) or not block else _head(block).number)
        if isinstance(block, RpcError):
            raise self.rpc.decide(block)
        tip_wei = GWEI if isinstance(tip, RpcError) else int(tip, 16)
        return Estimate(gas=int(gas, 16), head=_head(block), tip_wei=tip_wei)

    def replay(self, sender: str, action: Action, block: int) -> str:
        """Name the error of a mined call that failed, by calling it again on its block; "" when it cannot be told."""
        call = _as_call(sender, action)
        try:
            self.rpc.call("eth_call", call, hex(block))
        except RpcError as error:
            return abi.error_name(error.data)
        return ""

    def send(self, raw: bytes) -> str:
        """Broadcast; return "sent", "known", "nonce_used", "outbid" or "too_cheap". Raises the other refusals."""
        return self._outcome(self.rpc.batch([_broadcast(raw)], unknown_on_lost=True)[0])

    @sensible
    def send_and_look(self, raw: bytes) -> tuple[str, Head]:
        """Broadcast as `send` does, and return the latest block too: one request."""
        calls = [_broadcast(raw), ("eth_getBlockByNumber", ["latest", False])]
        answer, block = self.rpc.batch(calls, unknown_on_lost=True)
        outcome = self._outcome(answer)
        if isinstance(block, RpcError):
            raise self.rpc.decide(block)
        return outcome, _head(block)

    def _outcome(self, answer: Any) -> str:
        return self._classify(answer) if isinstance(answer, RpcError) else "sent"

    def _classify(self, error: RpcError) -> str:
        for outcome, pattern in SEND_ANSWERS:
            if re.search(pattern, error.text, re.IGNORECASE):
                return outcome
        if re.search("insufficient funds", error.text, re.IGNORECASE):
            raise self._poor("send")
        raise self.rpc.decide(error)

    def _refusal(self, error: RpcError, call: dict[str, str], height: int) -> Exception:
        if "insufficient funds" in error.text.lower() or "exceeds allowance" in error.text.lower():
            return self._poor("estimate")
        if not error.is_revert:
            return self.rpc.decide(error)
        data = error.data or self._revert_data(call)
        return Refused(abi.error_name(data), height)

    def _poor(self, step: str) -> MisconfiguredError:
        coins = self.balance_wei(self._payer) / COIN
        return MisconfiguredError(
            f"{self._partner}: {step}: the signer {self._payer} holds {coins:.6f} of the chain's coin, too little for "
            "gas and value; fund its address, then resume",
            code="funds",
        )

    def _revert_data(self, call: dict[str, str]) -> str:
        """Ask again by eth_call, since some nodes leave the data out of an estimate's error."""
        try:
            self.rpc.call("eth_call", call, "latest")
        except RpcError as error:
            return error.data
        return ""

    def _call(self, method: str, *params: Any) -> Any:
        return self._ask([(method, list(params))])[0]

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return self.rpc.ask(calls)
        except RpcError as error:
            raise self.rpc.decide(error) from None


def fitting(number: int) -> int:
    """Return a number as it is. Raises ValueError where a database could not hold it."""
    if number > LARGEST:
        raise ValueError("a number is beyond 64 bits")
    return number


def _head(block: dict[str, Any]) -> Head:
    return Head(
        number=fitting(int(block["number"], 16)),
        timestamp=fitting(int(block["timestamp"], 16)),
        base_fee_wei=int(block.get("baseFeePerGas") or "0x0", 16),
    )


def _broadcast(raw: bytes) -> Call:
    return "eth_sendRawTransaction", ["0x" + raw.hex()]


def _as_call(sender: str, action: Action) -> dict[str, str]:
    return {"from": sender, "to": action.to, "data": action.data, "value": hex(action.value_wei)}


def _receipt(told: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=told["transactionHash"],
        block=fitting(int(told["blockNumber"], 16)),
        succeeded=int(told["status"], 16) == 1,
        to=told["to"] or "",
        logs=tuple(Log(topics=tuple(map(_hex, log["topics"])), data=_hex(log["data"])) for log in told["logs"]),
    )


def _hex(text: str) -> str:
    """Return hexadecimal text as it is. Raises ValueError when it is something else."""
    bytes.fromhex(text.removeprefix("0x"))
    return text
