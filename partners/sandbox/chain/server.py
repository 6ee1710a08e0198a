"""The chain over HTTP: JSON-RPC with batches, the sandbox's own methods, fault switches and a log of broadcasts.

Beside the usual methods: `evm_mine`, `evm_increaseTime(seconds)`, `sandbox_mine(n)`, `sandbox_drop(hash)` from the
mempool, `sandbox_reorg(depth, {"drop": [hash], "first": [hash], "empty": bool})`, `sandbox_setBalance(address, wei)`,
`sandbox_transact(contract, function, args)` as the admin (contract as in Addresses), `sandbox_pause(contract, bool)`,
`sandbox_log()`.

Faults (fields of `partners.sandbox.faults.Fault`). The subject that `match` sees is the method's name, followed by a
space and the transaction's hash where the method has one; `per_subject` counts by it.

- `rpc_429`: refused with Retry-After: `seconds`. `rpc_500`: refused.
- `rpc_timeout`: carried out, but the answer is held for `seconds`.
- `rpc_behind`: answered as by a node `seconds` blocks behind (at least 1), which knows no mempool.
- `broadcast_lost_response`: the transaction is accepted, then the connection closes without an answer.
- `broadcast_hold`: accepted, then the answer is held for `seconds`; it is in the log at once.
- `broadcast_dropped`: the hash is answered, but nothing was accepted.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from partners.sandbox.chain.deploy import Addresses, Admin, Wiring, deploy, key_address
from partners.sandbox.chain.evm import Evm
from partners.sandbox.chain.mempool import PoolTx, RejectedError
from partners.sandbox.chain.node import Node
from partners.sandbox.chain.rpc import INVALID_PARAMS, RpcError, View, answer, to_bytes, to_int
from partners.sandbox.faults import Fault, Faults

CHAIN_ID, GAS_LIMIT = 14800, 60_000_000
MAX_BODY_BYTES = 10_000_000
BROADCAST = "eth_sendRawTransaction"
BROADCAST_FAULTS = {"broadcast_lost_response", "broadcast_hold", "broadcast_dropped"}
Json = dict[str, Any]


@dataclass
class Reply:
    """What the HTTP layer does with one request."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold_s: float = 0.0
    lost: bool = False


class Chain:
    """A running sandbox chain; make one with `start_chain`, end it with `stop`."""

    def __init__(self, node: Node, wiring: Wiring, *, port: int, block_s: float) -> None:
        self.node = node
        self.keys = wiring.keys
        self.faults = Faults()
        self.log: list[Json] = []
        self._stopping = threading.Event()
        self._server = _Server(port, self)
        self.rpc_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.admin: Admin
        self.addresses: Addresses
        self.admin, self.addresses = deploy(node, wiring, self.rpc_url)
        self._threads = [threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)]
        if block_s:
            self._threads.append(threading.Thread(target=self._mine_every, args=(block_s,), daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the server and its connections; answers that are held come now or never."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def _mine_every(self, block_s: float) -> None:
        while not self._stopping.wait(block_s):
            self.node.mine()

    def hold(self, seconds: float) -> None:
        """Wait, unless the chain stops."""
        self._stopping.wait(seconds)

    def serve(self, request: Any) -> Reply:
        """Answer a JSON-RPC request or batch."""
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
        method, subject = _method(call), self._subject(call)
        fault = self.faults.take({"rpc_429", "rpc_500"}, subject)
        if fault is None:
            return None
        self._note(method, fault=fault.kind, answer="refused")
        if fault.kind == "rpc_500":
            return Reply(body={"error": "internal error"}, status=500)
        return Reply(
            body={"error": "too many requests"}, status=429, headers={"Retry-After": str(math.ceil(fault.seconds))}
        )

    def _serve_one(self, call: Any, reply: Reply) -> Json:
        if not isinstance(call, dict) or not isinstance(call.get("params", []), list):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}}
        shell: Json = {"jsonrpc": "2.0", "id": call.get("id")}
        try:
            return shell | {"result": self._result(call, reply)}
        except RpcError as error:
            return shell | {"error": error.body}

    def _result(self, call: Json, reply: Reply) -> Any:
        method, params, subject = _method(call), call.get("params", []), self._subject(call)
        slow = self.faults.take({"rpc_timeout"}, subject)
        if slow:
            self._note(method, fault=slow.kind, answer="held")
            reply.hold_s = max(reply.hold_s, slow.seconds)
        if method == BROADCAST and len(params) == 1:
            return self._broadcast(params[0], reply)
        own = OWN_METHODS.get(method)
        if own:
            return own(self, *params)
        behind = self.faults.take({"rpc_behind"}, subject)
        if behind:
            self._note(method, fault=behind.kind, answer="old")
        return answer(View.of(self.node, max(1, int(behind.seconds)) if behind else 0), method, params)

    def _broadcast(self, raw: Any, reply: Reply) -> str:
        tx: PoolTx | None = None
        try:
            tx = self.node.read_tx(to_bytes(raw))
            fault = self.faults.take({"broadcast_dropped"}, f"{BROADCAST} {tx.hash}")
            if fault is None:
                self.node.submit(tx)
        except RejectedError as error:
            self._note(BROADCAST, tx, answer=str(error))
            raise RpcError(str(error)) from error
        fault = fault or self.faults.take({"broadcast_lost_response", "broadcast_hold"}, f"{BROADCAST} {tx.hash}")
        self._note(BROADCAST, tx, fault=fault.kind if fault else "", answer="accepted")
        if fault:
            reply.lost = reply.lost or fault.kind == "broadcast_lost_response"
            reply.hold_s = max(reply.hold_s, fault.seconds if fault.kind == "broadcast_hold" else 0.0)
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
        return f"{method} {first}" if len(first) == 66 else method

    def _note(self, method: str, tx: PoolTx | None = None, *, fault: str = "", answer: str) -> None:
        entry: Json = {"at": time.time(), "method": method, "answer": answer, "fault": fault}
        if tx:
            entry |= {"tx_hash": tx.hash, "nonce": tx.nonce, "sender": "0x" + tx.sender.hex()}
        self.log.append(entry)


def _method(call: Any) -> str:
    return str(call.get("method", "")) if isinstance(call, dict) else ""


def _mine(chain: Chain, blocks: Any = 1) -> str:
    chain.node.mine(blocks if isinstance(blocks, int) else to_int(blocks))
    return hex(chain.node.head.number)


def _increase_time(chain: Chain, seconds: Any) -> str:
    chain.node.increase_time(seconds if isinstance(seconds, int) else to_int(seconds))
    return "0x0"


def _reorg(chain: Chain, depth: int, options: Json | None = None) -> str:
    options = options or {}
    chain.node.reorg(
        depth,
        drop=options.get("drop", ()),
        first=options.get("first", ()),
        empty=bool(options.get("empty")),
    )
    return hex(chain.node.head.number)


def _set_balance(chain: Chain, address: str, wei: Any) -> bool:
    chain.node.set_balance(to_bytes(address), wei if isinstance(wei, int) else to_int(wei))
    return True


def _transact(chain: Chain, what: str, function: str, args: Sequence[Any] = ()) -> bool:
    try:
        chain.admin.transact(what, function, *args)
    except ValueError as error:
        raise RpcError(str(error), code=INVALID_PARAMS) from error
    return True


def _pause(chain: Chain, what: str, paused: bool = True) -> bool:
    return _transact(chain, what, "pause" if paused else "unpause")


OWN_METHODS: dict[str, Callable[..., Any]] = {
    "evm_mine": lambda chain, _options=None: _mine(chain),
    "evm_increaseTime": _increase_time,
    "sandbox_mine": _mine,
    "sandbox_drop": lambda chain, tx_hash: chain.node.drop(tx_hash),
    "sandbox_reorg": _reorg,
    "sandbox_setBalance": _set_balance,
    "sandbox_transact": _transact,
    "sandbox_pause": _pause,
    "sandbox_log": lambda chain: [entry for entry in chain.log if entry["method"] == BROADCAST],
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, chain: Chain) -> None:
        self.chain = chain
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away, killed workers among them, are what a sandbox is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        chain = self.server.chain
        pages: Mapping[str, Any] = {"/_sandbox/faults": chain.faults.counts(), "/_sandbox/log": chain.log}
        if self.path in pages:
            self._send(Reply(body=pages[self.path]))
        else:
            self._send(Reply(body={"error": "no such page"}, status=404))

    def do_POST(self) -> None:
        chain = self.server.chain
        try:
            request = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES)))
            if self.path == "/_sandbox/faults":
                chain.faults.arm(Fault(**request))
                self._send(Reply(body=chain.faults.counts()))
                return
        except (ValueError, TypeError) as error:
            self._send(Reply(body={"error": str(error)}, status=400))
            return
        reply = chain.serve(request)
        chain.hold(reply.hold_s)
        if reply.lost:
            self.close_connection = True
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep standard error clean; the sandbox has a log of its own."""


def start_chain(
    *,
    port: int = 0,
    block_s: float = 1.0,
    chain_id: int = CHAIN_ID,
    finalized_depth: int = 16,
    wiring: Wiring | None = None,
) -> Chain:
    """Start a chain with everything deployed; `block_s=0` mines only when told to.

    Every key of the wiring holds `wiring.balance`. Blocks carry at least a second each: with `block_s` below 1 the
    chain's clock runs ahead.
    """
    wiring = wiring or Wiring()
    balances = {bytes.fromhex(key_address(key)[2:]): wiring.balance for key in wiring.keys.values()}
    evm = Evm(chain_id=chain_id, gas_limit=GAS_LIMIT, balances=balances, timestamp=int(time.time()) - 60)
    node = Node(evm, chain_id=chain_id, finalized_depth=finalized_depth)
    return Chain(node, wiring, port=port, block_s=block_s)
