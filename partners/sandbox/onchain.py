"""How the sandbox's services read the chain and send transactions of their own, through whatever faults it commits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct

from partners.sandbox.chain.abi import decode_result, encode_call
from partners.sandbox.chain.compile import load
from partners.sandbox.control import ask

ANSWER_S, POLL_S = 5.0, 0.1
TIP_WEI = 10**9
KINDS = {"registry": "DataRegistry", "tee_pool": "TeePool", "dlp": "DataLiquidityPool"}
KINDS |= {"refiner_registry": "DataRefinerRegistry"}


class OnchainError(Exception):
    """The chain refused, or did not answer in time."""


class NodeError(OnchainError):
    """The node answered with an error: a revert, or a transaction that it does not take."""


class Onchain:
    """One account and the contracts it uses, by the names of `addresses` (registry, tee_pool, …). Thread-safe."""

    def __init__(
        self,
        *,
        rpc_url: str,
        private_key: str,
        addresses: Mapping[str, Any],
        stopping: threading.Event,
        patience_s: float = 120.0,
    ) -> None:
        self._rpc_url = rpc_url
        self._patience_s = patience_s
        self._account = Account.from_key(private_key)
        self._addresses = addresses
        self._abis = {name: contract["abi"] for name, contract in load().items()}
        self._stopping = stopping
        self._lock = threading.Lock()  # held from taking a nonce until the node knows the transaction
        self.address = str(self._account.address)
        self.private_key = bytes(self._account.key)
        self.public_key = "0x04" + bytes(self._account._key_obj.public_key.to_bytes()).hex()

    def sign(self, digest: bytes) -> bytes:
        """Return the 65 byte EIP-191 signature over 32 bytes."""
        return bytes(self._account.sign_message(encode_defunct(primitive=digest)).signature)

    def read(self, what: str, function: str, *args: Any) -> Any:
        """Return the one value, or tuple, that a view function gives back."""
        data = encode_call(self._abis[KINDS[what]], function, *args)
        given = self.rpc("eth_call", {"to": self._addresses[what], "data": "0x" + data.hex()}, "latest")
        return decode_result(self._abis[KINDS[what]], function, bytes.fromhex(given[2:]))[0]

    def send(self, what: str, function: str, *args: Any) -> str:
        """Call a function in a transaction and wait until it is mined; return its hash."""
        data = encode_call(self._abis[KINDS[what]], function, *args)
        with self._lock:
            raw, tx_hash = self._make({"to": self._addresses[what], "data": "0x" + data.hex()})
            self._wait_until(lambda: self._is_known(raw, tx_hash))
        receipt = self._wait_until(lambda: self.rpc("eth_getTransactionReceipt", tx_hash))
        if receipt["status"] != "0x1":
            raise OnchainError(f"{function} was mined, but failed")
        return tx_hash

    def rpc(self, method: str, *params: Any) -> Any:
        """Ask the node, again while it is busy or lost. Raises NodeError when it says no."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._wait_until(lambda: self._post(body))
        if "error" in answer:
            error = answer["error"]
            raise NodeError(f"{method}: {error.get('message')} {str(error.get('data') or '')[:10]}".strip())
        return answer["result"]

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = ask(self._rpc_url, json.dumps(body).encode(), timeout_s=ANSWER_S)
        return None if answer is None else json.loads(answer)

    def _make(self, call: dict[str, Any]) -> tuple[str, str]:
        gas = int(self.rpc("eth_estimateGas", {"from": self.address, **call}), 16)
        signed = self._account.sign_transaction(
            {
                **call,
                "type": 2,
                "chainId": int(self.rpc("eth_chainId"), 16),
                "nonce": int(self.rpc("eth_getTransactionCount", self.address, "pending"), 16),
                "gas": 2 * gas,
                "maxPriorityFeePerGas": TIP_WEI,
                "maxFeePerGas": 2 * int(self.rpc("eth_gasPrice"), 16) + TIP_WEI,
                "value": 0,
            }
        )
        return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()

    def _is_known(self, raw: str, tx_hash: str) -> bool:
        """Broadcast, and say whether the node has the transaction: its answer alone proves nothing."""
        try:
            self.rpc("eth_sendRawTransaction", raw)
        except NodeError as error:
            if not self.rpc("eth_getTransactionByHash", tx_hash):
                raise OnchainError("the node does not take the transaction") from error
        return self.rpc("eth_getTransactionByHash", tx_hash) is not None

    def _wait_until(self, look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            answer = look()
            if answer:
                return answer
            if self._stopping.wait(POLL_S):
                raise OnchainError("the service is stopping")
        raise OnchainError("the chain took too long")
