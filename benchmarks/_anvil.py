"""Anvil, a chain that mines by the clock, with the doubles of Vana's contracts deployed as the sandbox does it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eth_utils import to_checksum_address

from partners.errors import PartnerError
from partners.http import HttpClient
from partners.sandbox.chain.deploy import GAS, Addresses, Admin, Deployed, Wiring, key_address, wire
from partners.vana.rpc import Rpc
from partners.vana.signature import sign_transaction

CHAIN_ID = 14800
GAS_LIMIT = 30_000_000  # a block's, as Vana began with
FEES = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
_HERE = Path(__file__).parent
_STARTS_S = 20.0
T = TypeVar("T")


class NotInstalledError(Exception):
    """There is no Anvil; the message says how it comes."""


@dataclass(frozen=True)
class Anvil:
    """A running chain, and where the contracts are on it."""

    rpc: Rpc
    addresses: Addresses

    def receipts(self, hashes: list[str]) -> list[dict[str, Any]]:
        """Return the receipts of mined transactions."""
        return self.rpc.ask([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes])

    def mined_at(self, block: str) -> int:
        """Return when a block was mined, in seconds since 1970."""
        return int(self.rpc.call("eth_getBlockByNumber", block, False)["timestamp"], 16)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def start_anvil(wiring: Wiring, *, block_s: int, final_after: int) -> Iterator[Anvil]:
    """Give a chain on loopback whose blocks are final `final_after` (an even number of) blocks later.

    Everything is deployed before its clock begins to tick. Raises NotInstalledError, or RuntimeError where it does not
    start.
    """
    port = free_port()
    command = [_find_binary(), "--port", str(port), "--silent", "--chain-id", str(CHAIN_ID), "--hardfork", "cancun"]
    command += ["--gas-limit", str(GAS_LIMIT), "--slots-in-an-epoch", str(final_after // 2)]
    http = HttpClient(partner="anvil", max_bytes=100_000_000)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        rpc = Rpc(http, f"http://127.0.0.1:{port}", "anvil")
        _await(rpc, process)
        for key in wiring.keys.values():
            rpc.call("anvil_setBalance", key_address(key), hex(wiring.balance))
        addresses = wire(_make_admin(rpc, wiring), wiring, chain_id=CHAIN_ID, rpc_url=f"http://127.0.0.1:{port}")
        rpc.call("evm_setIntervalMining", block_s)
        yield Anvil(rpc, addresses)
    finally:
        process.terminate()
        process.wait()
        http.close()


def _find_binary() -> str:
    found = sorted((_HERE / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise NotInstalledError("Anvil is not installed here: npm ci --prefix benchmarks")
    return str(found[0])


def _await(rpc: Rpc, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError("Anvil ended at its start")
        try:
            return bool(rpc.call("eth_chainId"))
        except PartnerError:
            return False

    _until(answers)


def _until(look: Callable[[], T]) -> T:
    """Look until there is something; return it. Raises RuntimeError where there is nothing in time."""
    give_up_at = time.monotonic() + _STARTS_S
    while time.monotonic() < give_up_at:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise RuntimeError("Anvil took too long to start")


def _make_admin(rpc: Rpc, wiring: Wiring) -> Admin:
    """Return the admin of a chain that still mines every transaction at once."""
    key = wiring.keys["admin"]

    def send(to: bytes, data: bytes) -> Deployed:
        nonce = int(rpc.call("eth_getTransactionCount", key_address(key), "latest"), 16)
        call = {"to": to_checksum_address(to) if to else "", "data": "0x" + data.hex(), "value": 0, "gas": GAS}
        signed = sign_transaction(key, {"chainId": CHAIN_ID, "nonce": nonce, **call, **FEES})
        rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        receipt = _until(lambda: rpc.call("eth_getTransactionReceipt", signed.tx_hash))
        made = receipt["contractAddress"]
        return _Receipt(status=int(receipt["status"], 16), created=bytes.fromhex(made[2:]) if made else None)

    return Admin(send)


@dataclass(frozen=True, kw_only=True)
class _Receipt:
    status: int
    created: bytes | None
