"""The chain over HTTP, in a process of its own or in a test's: `start_chain()`.

JSON-RPC is answered at any path; `/_sandbox/faults` and `/_sandbox/log` as in `partners.sandbox.faults`. What faults
there are says service.py; the methods beside Ethereum's are in control.py: `evm_mine`, `evm_increaseTime(seconds)`,
`sandbox_mine(n)`, `sandbox_drop(hash)` from the mempool, `sandbox_reorg(depth, {"drop": [hash], "first": [hash],
"empty": bool})`, `sandbox_setBalance(address, wei)`, `sandbox_transact(contract, function, args)` as the admin
(contract as in Addresses), `sandbox_pause(contract, bool)`, `sandbox_log()`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from partners.sandbox.chain.deploy import Wiring, deploy, key_address
from partners.sandbox.chain.evm import Evm
from partners.sandbox.chain.node import Node
from partners.sandbox.chain.service import Reply, Service
from partners.sandbox.faults import Fault

CHAIN_ID, GAS_LIMIT = 14800, 60_000_000
GENESIS_AGE_S = 600  # every block takes a second of the chain's clock, those of the deployment too


class Chain:
    """A running sandbox chain; make one with `start_chain`, end it with `stop`."""

    def __init__(self, node: Node, wiring: Wiring, *, port: int, block_s: float) -> None:
        self.node = node
        self.keys = wiring.keys
        self._stopping = threading.Event()
        self._is_held = False
        self._server = _Server(port, self._stopping)
        self.rpc_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.admin, self.addresses = deploy(node, wiring, self.rpc_url)
        self._server.service = Service(node, self.admin)
        self.faults = self._server.service.faults
        self.log = self._server.service.log
        self._threads = [threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)]
        if block_s:
            self._threads.append(threading.Thread(target=self._mine_every, args=(block_s,), daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the server and its connections; answers that are held are given up."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Add no block but those that are asked for, as long as this lasts."""
        self._hold(True)
        try:
            yield
        finally:
            self._hold(False)

    def _hold(self, is_held: bool) -> None:
        with self.node.lock:  # no block is on its way afterwards
            self._is_held = is_held

    def _mine_every(self, block_s: float) -> None:
        while not self._stopping.wait(block_s):
            with self.node.lock:
                if not self._is_held:
                    self.node.mine()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    service: Service

    def __init__(self, port: int, stopping: threading.Event) -> None:
        self.stopping = stopping
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away, killed workers among them, are what a sandbox is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or small answers wait 40 ms for an acknowledgement
    server: _Server

    def do_GET(self) -> None:
        service = self.server.service
        pages: dict[str, Any] = {"/_sandbox/faults": service.faults.counts(), "/_sandbox/log": list(service.log)}
        if self.path in pages:
            self._send(Reply(body=pages[self.path]))
        else:
            self._send(Reply(body={"error": "no such page"}, status=404))

    def do_POST(self) -> None:
        service = self.server.service
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.path == "/_sandbox/faults":
                service.faults.arm(Fault(**request))
                request = None
        except (ValueError, TypeError) as error:
            self._send(Reply(body={"error": str(error)}, status=400))
            return
        if request is None:
            self._send(Reply(body=service.faults.counts()))
        else:
            self._answer(service.serve(request))

    def _answer(self, reply: Reply) -> None:
        has_stopped = self.server.stopping.wait(reply.hold_s)
        if reply.lost or has_stopped:
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

    Every key of the wiring holds `wiring.balance`. Blocks are at least a second apart on the chain's clock: with
    `block_s` below 1 it runs ahead.
    """
    wiring = wiring or Wiring()
    balances = {bytes.fromhex(key_address(key)[2:]): wiring.balance for key in wiring.keys.values()}
    evm = Evm(chain_id=chain_id, gas_limit=GAS_LIMIT, balances=balances, timestamp=int(time.time()) - GENESIS_AGE_S)
    node = Node(evm, chain_id=chain_id, finalized_depth=finalized_depth)
    return Chain(node, wiring, port=port, block_s=block_s)
