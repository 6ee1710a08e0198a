"""The chain over JSON-RPC: calls and logs of a contract at one block, in batches."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import eth_abi
from eth_utils import keccak

from verify.wire import UnreachableError, Wire

BATCH = 50
LOG_BLOCKS = 10_000
Asked = tuple[str, list[Any]]


class Rpc:
    """A JSON-RPC endpoint."""

    def __init__(self, wire: Wire, url: str, threads: int = 4) -> None:
        self._wire, self._url, self._threads = wire, url, threads

    def call(self, method: str, *params: Any) -> Any:
        """Return the result of one call."""
        return self.call_many([(method, list(params))])[0]

    def call_many(self, asked: Sequence[Asked]) -> list[Any]:
        """Return the results of many calls, in the order asked."""
        batches = [asked[at : at + BATCH] for at in range(0, len(asked), BATCH)]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(itertools.chain.from_iterable(pool.map(self._send, batches)))

    def _send(self, batch: Sequence[Asked]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": at, "method": name, "params": params} for at, (name, params) in enumerate(batch)
        ]
        answer = self._wire.request("POST", self._url, {"Content-Type": "application/json"}, json.dumps(body).encode())
        try:
            replies = {reply["id"]: reply for reply in json.loads(answer.body)}
            ordered = [replies[at] for at in range(len(batch))]
        except (ValueError, KeyError, TypeError):
            raise UnreachableError(f"the chain answered {answer.status} and no JSON-RPC batch") from None
        for (name, _), reply in zip(batch, ordered, strict=True):
            if "result" not in reply:
                raise UnreachableError(f"the chain refused {name}: {_reason(reply)}")
        return [reply["result"] for reply in ordered]


def _reason(reply: dict[str, Any]) -> str:
    error = reply.get("error")
    return str(error.get("message", "no reason given")) if isinstance(error, dict) else "no reason given"


@dataclass(frozen=True)
class Event:
    """One log: its indexed values, then the others."""

    topics: tuple[bytes, ...]
    values: tuple[Any, ...]

    def number(self, at: int) -> int:
        """Return the indexed value `at` as a number."""
        return int.from_bytes(self.topics[at], "big")

    def address(self, at: int) -> str:
        """Return the indexed value `at` as an address, in lower case."""
        return "0x" + self.topics[at][-20:].hex()


@dataclass(frozen=True)
class Contract:
    """A contract, read at one block so that all answers belong together."""

    rpc: Rpc
    address: str
    block: int
    from_block: int = 0

    def check_code(self, name: str) -> None:
        """Raise UnreachableError when there is no contract at this address."""
        if self.rpc.call("eth_getCode", self.address, hex(self.block)) in ("0x", "", None):
            raise UnreachableError(f"there is no contract at the {name}'s address {self.address}")

    def read(self, signature: str, returns: str) -> Any:
        """Return the value of a view without arguments."""
        return self.read_many(signature, returns, [()])[0]

    def read_many(self, signature: str, returns: str, arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Return the values of one view for many arguments; `returns` is its ABI type."""
        types = _types_of(signature)
        selector = keccak(text=signature)[:4]
        asked: list[Asked] = []
        for values in arguments:
            data = "0x" + (selector + eth_abi.encode(types, values)).hex()
            asked.append(("eth_call", [{"to": self.address, "data": data}, hex(self.block)]))
        return [_decode(signature, [returns], _bytes(result))[0] for result in self.rpc.call_many(asked)]

    def events(self, signature: str, data_types: Sequence[str] = ()) -> list[Event]:
        """Return every event of this kind, oldest first; `data_types` are those of the values not indexed."""
        topic = "0x" + keccak(text=signature).hex()
        asked: list[Asked] = []
        for first in range(self.from_block, self.block + 1, LOG_BLOCKS):
            last = min(first + LOG_BLOCKS - 1, self.block)
            wanted = {"address": self.address, "topics": [topic], "fromBlock": hex(first), "toBlock": hex(last)}
            asked.append(("eth_getLogs", [wanted]))
        logs = itertools.chain.from_iterable(self.rpc.call_many(asked))
        return [_event(signature, data_types, log) for log in logs]


def _types_of(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


def _event(signature: str, data_types: Sequence[str], log: dict[str, Any]) -> Event:
    topics = tuple(_bytes(topic) for topic in log["topics"][1:])
    return Event(topics, _decode(signature, data_types, _bytes(log["data"])))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _decode(signature: str, types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        return tuple(eth_abi.decode(list(types), data))
    except (eth_abi.exceptions.DecodingError, OverflowError):
        raise UnreachableError(
            f"{signature} answered something else than {', '.join(types)}: wrong contract?"
        ) from None
