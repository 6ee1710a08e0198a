"""The methods that only a sandbox has: mine, drop, reorg, money from nowhere, and the admin's hand on the contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from partners.sandbox.chain.deploy import Admin
from partners.sandbox.chain.node import Node
from partners.sandbox.chain.rpc import INVALID_PARAMS, RpcError, to_bytes, to_int


class Controlled(Protocol):
    """What the methods act on."""

    node: Node
    admin: Admin
    log: list[dict[str, Any]]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else to_int(value)


def _mine(chain: Controlled, blocks: Any = 1) -> str:
    chain.node.mine(_number(blocks))
    return hex(chain.node.head.number)


def _increase_time(chain: Controlled, seconds: Any) -> str:
    chain.node.increase_time(_number(seconds))
    return hex(_number(seconds))


def _reorg(chain: Controlled, depth: Any, options: Mapping[str, Any] | None = None) -> str:
    asked = options or {}
    chain.node.reorg(
        _number(depth), drop=asked.get("drop", ()), first=asked.get("first", ()), empty=bool(asked.get("empty"))
    )
    return hex(chain.node.head.number)


def _set_balance(chain: Controlled, address: str, wei: Any) -> bool:
    chain.node.set_balance(to_bytes(address), _number(wei))
    return True


def _transact(chain: Controlled, what: str, function: str, args: Sequence[Any] = ()) -> bool:
    try:
        chain.admin.transact(what, function, *args)
    except ValueError as error:
        raise RpcError(str(error), code=INVALID_PARAMS) from error
    return True


def _pause(chain: Controlled, what: str, paused: bool = True) -> bool:
    return _transact(chain, what, "pause" if paused else "unpause")


METHODS: dict[str, Callable[..., Any]] = {
    "evm_mine": lambda chain, _options=None: _mine(chain),
    "evm_increaseTime": _increase_time,
    "sandbox_mine": _mine,
    "sandbox_drop": lambda chain, tx_hash: chain.node.drop(tx_hash),
    "sandbox_reorg": _reorg,
    "sandbox_setBalance": _set_balance,
    "sandbox_transact": _transact,
    "sandbox_pause": _pause,
    "sandbox_log": lambda chain: [entry for entry in chain.log if entry["method"] == "eth_sendRawTransaction"],
}
