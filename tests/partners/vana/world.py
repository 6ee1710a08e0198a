"""A chain, a file server, a TEE and a refiner, and the adapter that speaks to them. Blocks come only when asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from partners.akave.encoding import encrypt
from partners.base import Item, Required, Rewind, StepResult
from partners.errors import NotReady
from partners.sandbox.chain.deploy import Wiring, role_key
from partners.sandbox.chain.server import start_chain
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.sandbox.refiner import start_refiner
from partners.sandbox.tee import start_tee
from partners.testing import MemoryLedger, ask, run_chunk
from partners.testing.driver import merged
from partners.vana import abi
from partners.vana.adapter import VanaPartner
from partners.vana.chain import Action
from partners.vana.signature import address_of, sign_transaction

KEY = "0x" + "5a" * 32
CONFIRMATIONS = 3
FEE = 10**16


class World:
    """Everything that the adapter meets. End it with `stop`."""

    def __init__(self, *, finalized_depth: int = 1000) -> None:
        self.chain = start_chain(block_s=0, finalized_depth=finalized_depth, wiring=Wiring(tee_fee=FEE))
        self.node, self.addresses, self.faults = self.chain.node, self.chain.addresses, self.chain.faults
        self.objects: dict[str, bytes] = {}
        self._files = _serve(self.objects)
        self.files_url = f"http://127.0.0.1:{self._files.server_address[1]}"
        self._servers: list[Server] = []
        self._partners: list[VanaPartner] = []

    def stop(self) -> None:
        for stoppable in (*self._servers, self.chain):
            stoppable.stop()
        for partner in self._partners:
            partner.close()
        self._files.shutdown()
        self._files.server_close()

    # what is spoken to

    def start_tee(self) -> Server:
        told = {"rpc_url": self.chain.rpc_url, "addresses": asdict(self.addresses)}
        self._servers.append(start_tee(**told, private_key=self.chain.keys["tee"], join_pool=True))
        return self._servers[-1]

    def start_refiner(self) -> Server:
        told = {"rpc_url": self.chain.rpc_url, "addresses": asdict(self.addresses)}
        self._servers.append(start_refiner(**told, private_key=self.chain.keys["refiner"]))
        return self._servers[-1]

    def options(self, **changes: str) -> dict[str, str]:
        return {
            "rpc_url": self.chain.rpc_url,
            "chain_id": str(self.addresses.chain_id),
            "private_key": self.chain.keys["signer"],
            "registry": self.addresses.registry,
            "tee_pool": self.addresses.tee_pool,
            "dlp": self.addresses.dlp,
            "confirmations": str(CONFIRMATIONS),
            "poll_s": "0.01",
            "allow_private": "yes",
            **changes,
        }

    def partner(self, **changes: str) -> VanaPartner:
        self._partners.append(VanaPartner("vana", self.options(**changes)))
        return self._partners[-1]

    def item(self, number: int = 0, *, url: str = "", **fields: Any) -> Item:
        payload = b'{"steps": %d}' % number
        self.objects[f"/{number}"] = encrypt(payload, KEY)
        akave = Required(entry={"url": url or f"{self.files_url}/{number}"}, retry_data={"record_key": KEY})
        names = {"record_id": f"record-{number}", "partner": "vana", "user_hash": "u", "data_type": "health"}
        return Item(**{**names, "data_id": str(number), "payload": payload, "required": {"akave": akave}, **fields})

    def ledger(self, partner: VanaPartner, **options: int) -> MemoryLedger:
        return MemoryLedger(partner.client.nonce(partner.signer, "pending"), **options)

    # time

    def mine(self, after_s: float = 0.0) -> None:
        """Add a block, and let the threads of TEE and refiner come to something."""
        self.node.mine()
        time.sleep(0.005)

    def run(self, partner: VanaPartner, *items: Item, ledger: MemoryLedger | None = None, **options: Any) -> list[Item]:
        return run_chunk(partner, items, ledger or self.ledger(partner), wait=self.mine, **options)

    def until(self, partner: VanaPartner, item: Item, last: str, ledger: MemoryLedger, *, first: str = "") -> Item:
        """Take an item from step `first` through step `last`, mining while it waits; Rewinds are not followed."""
        steps = partner.active_steps(item.kind)
        for step in steps[steps.index(first or steps[0]) : steps.index(last) + 1]:
            item = self.save(item, self.answer(partner, step, item, ledger))
        return item

    def answer(self, partner: VanaPartner, step: str, item: Item, ledger: MemoryLedger | None = None) -> Any:
        """Run one step once more after every block until it does not wait; raise what it raises."""
        for _ in range(400):
            (answer,) = ask(partner, step, [item], ledger)
            if not isinstance(answer, NotReady):
                break
            self.mine()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def insist(self, partner: VanaPartner, step: str, item: Item) -> None:
        """Run a step, also as often as it wants to look again before it gives up; raise what it raises."""
        pauses: list[float] = []
        while isinstance(answer := self.answer(partner, step, item), Rewind):
            assert answer.step == step
            assert answer.after_s > max(pauses, default=0)
            pauses.append(answer.after_s)
            item = self.save(item, answer)
        raise AssertionError(f"{step} went on")

    def save(self, item: Item, answer: StepResult) -> Item:
        changes: Mapping[str, Any] = answer.changes if isinstance(answer, Rewind) else answer
        return replace(item, saved=merged(item.saved, changes))

    # the chain

    def arm(self, kind: str, **fields: Any) -> None:
        self.faults.arm(Fault(kind=kind, **fields))

    def transact(self, role: str, action: Action, *, nonce: int | None = None, gwei: int = 5) -> str:
        """Broadcast a transaction of one of the sandbox's accounts; return its hash."""
        key, reader = role_key(role), self.partner().client
        fields = {"to": action.to, "data": action.data, "value": action.value_wei, "gas": 2_000_000}
        fees = {"maxFeePerGas": gwei * 10**9, "maxPriorityFeePerGas": gwei * 10**9}
        taken = reader.nonce(address_of(key), "pending") if nonce is None else nonce
        signed = sign_transaction(key, {"chainId": self.addresses.chain_id, "nonce": taken, **fields, **fees})
        assert reader.send(signed.raw) == "sent"
        return signed.tx_hash

    def register_as(self, role: str, url: str, owner: str, permissions: list[tuple[str, str]]) -> None:
        """Register a URL from another program, and mine it."""
        data = abi.ADD_FILE.encode(url, owner, permissions)
        self.transact(role, Action(to=self.addresses.registry, data=data))
        self.node.mine()

    def count(self, contract: str, function: str) -> int:
        """Read a counter of a contract."""
        client = self.partner().client
        return int(client.read(getattr(self.addresses, contract), abi.function(f"{function}()", "uint256")))

    def broadcasts(self, answer: str = "accepted") -> list[dict[str, Any]]:
        """Return what the node was sent by our signer."""
        signer = address_of(self.chain.keys["signer"]).lower()
        sent = [entry for entry in self.chain.log if entry["method"] == "eth_sendRawTransaction"]
        return [entry for entry in sent if entry.get("sender") == signer and entry["answer"] == answer]


def _serve(objects: Mapping[str, bytes]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = objects.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
