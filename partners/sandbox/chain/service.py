"""Answers JSON-RPC requests and batches, with the faults that are armed; keeps the log. HTTP itself is in server.py.

Faults (fields of `partners.sandbox.faults.Fault`). The subject that `match` sees is the method's name, followed by a
space and the transaction's hash where the request has one, a broadcast also by its sender; `per_subject` counts by it.

- `rpc_429`: refused with Retry-After: `seconds`. `rpc_500`: refused.
- `rpc_timeout`: carried out, but the answer is held for `seconds`.
- `rpc_behind`: answered as by a node `seconds` blocks behind (at least 1), which knows no mempool.
- `broadcast_lost_response`: the transaction is accepted, then the connection closes without an answer.
- `broadcast_hold`: accepted, then the answer is held for `seconds`; it is in the log at once.
- `broadcast_dropped`: the hash is answered, but nothing was accepted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from eth_utils import ValidationError

from partners.sandbox.chain import control
from partners.sandbox.chain.deploy import Admin
from partners.sandbox.chain.mempool import PoolTx, RejectedError
from partners.sandbox.chain.node import Node
from partners.sandbox.chain.rpc import INVALID_PARAMS, INVALID_REQUEST, RpcError, View, answer, to_bytes
from partners.sandbox.faults import Faults

BROADCAST = "eth_sendRawTransaction"
HASH_CHARS = 66
Json = dict[str, Any]


@dataclass
class Reply:
    """What the HTTP layer does with one request: hold it, lose it, or send it."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold_s: float = 0.0
    lost: bool = False


class Service:
    """The node as clients meet it."""

    def __init__(self, node: Node, admin: Admin) -> None:
        self.node = node
        self.admin = admin
        self.faults = Faults()
        self.log: list[Json] = []

    def serve(self, request: Any) -> Reply:
        """Answer a JSON-RPC request or a batch of them."""
        calls = request if isinstance(request, list) else [request]
        for call in calls:
            refused = self._refuse(call)
            if refused:
                return refused
        reply = Reply()
        bodies = [self._serve_one(call, reply) for call in calls]
        reply.body = bodies if isinstance(request, list) else bodies[0]
        return reply

    def _refuse(self, call: Any) -> Reply | None:
        fault = self.faults.take({"rpc_429", "rpc_500"}, self._subject(call))
        if fault is None:
            return None
        self._note(_method(call), fault=fault.kind, answer="refused")
        if fault.kind == "rpc_500":
            return Reply(body={"error": "internal error"}, status=500)
        headers = {"Retry-After": str(math.ceil(fault.seconds))}
        return Reply(body={"error": "too many requests"}, status=429, headers=headers)

    def _serve_one(self, call: Any, reply: Reply) -> Json:
        shell: Json = {"jsonrpc": "2.0", "id": call.get("id") if isinstance(call, dict) else None}
        try:
            if not _method(call) or not isinstance(call.get("params", []), list):
                raise RpcError("invalid request", code=INVALID_REQUEST)
            return shell | {"result": self._result(call, reply)}
        except RpcError as error:
            return shell | {"error": error.body}
        except (TypeError, KeyError, AttributeError, ValidationError):
            return shell | {"error": {"code": INVALID_PARAMS, "message": f"invalid params of {_method(call)}"}}

    def _result(self, call: Json, reply: Reply) -> Any:
        method, params, subject = _method(call), call.get("params", []), self._subject(call)
        slow = self.faults.take({"rpc_timeout"}, subject)
        if slow:
            self._note(method, fault=slow.kind, answer="held")
            reply.hold_s = max(reply.hold_s, slow.seconds)
        if method == BROADCAST:
            return self._broadcast(reply, *params)
        if method in control.METHODS:
            return control.METHODS[method](self, *params)
        behind = self.faults.take({"rpc_behind"}, subject)
        if behind:
            self._note(method, fault=behind.kind, answer="old")
        with self.node.lock:  # or a block could be mined between the view and the answer
            return answer(View.of(self.node, max(1, int(behind.seconds)) if behind else 0), method, params)

    def _broadcast(self, reply: Reply, raw: Any) -> str:
        tx: PoolTx | None = None
        try:
            tx = self.node.read_tx(to_bytes(raw))
            subject = f"{BROADCAST} {tx.hash} 0x{tx.sender.hex()}"
            fault = self.faults.take({"broadcast_dropped"}, subject)
            if fault is None:
                self.node.submit(tx)
        except RejectedError as error:
            self._note(BROADCAST, tx, answer=str(error))
            raise RpcError(str(error)) from error
        # Asked only now, so that no fault is spent on what the pool refuses.
        fault = fault or self.faults.take({"broadcast_lost_response", "broadcast_hold"}, subject)
        self._note(BROADCAST, tx, fault=fault.kind if fault else "", answer="accepted")
        if fault and fault.kind == "broadcast_hold":
            reply.hold_s = max(reply.hold_s, fault.seconds)
        reply.lost = reply.lost or bool(fault and fault.kind == "broadcast_lost_response")
        return tx.hash

    def _subject(self, call: Any) -> str:
        method = _method(call)
        params = call.get("params") if isinstance(call, dict) else None
        first = params[0] if isinstance(params, list) and params and isinstance(params[0], str) else ""
        if method == BROADCAST:
            try:
                first = self.node.read_tx(to_bytes(first)).hash
            except (RejectedError, RpcError):
                first = ""
        return f"{method} {first}" if len(first) == HASH_CHARS else method

    def _note(self, method: str, tx: PoolTx | None = None, *, fault: str = "", answer: str) -> None:
        entry: Json = {"at": time.time(), "method": method, "answer": answer, "fault": fault}
        if tx:
            entry |= {"tx_hash": tx.hash, "nonce": tx.nonce, "sender": "0x" + tx.sender.hex()}
        self.log.append(entry)


def _method(call: Any) -> str:
    return str(call.get("method", "")) if isinstance(call, dict) else ""
