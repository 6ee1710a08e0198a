"""What chain_behaviours.py stands on: a plain client of any EVM chain, and the way a list of behaviours is run."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import eth_abi
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak, to_checksum_address

KEY = "ab" * 257  # as long as a real encrypted key
ONE = 10**18
ROLES = ("signer", "stranger", "tee", "refiner", "admin")
STRANGER_WEI = 2 * 10**17
Json = dict[str, Any]
T = TypeVar("T")
PERMISSIONS = "(address,string)[]"
PROOF = "(bytes,(uint256,uint256,string,string,string))"
FUNCTIONS = {
    "version": ("", "uint256"),
    "paused": ("", "bool"),
    "files": ("uint256", "(uint256,address,string,uint256,uint256)"),
    "filesCount": ("", "uint256"),
    "fileIdByUrl": ("string", "uint256"),
    "filePermissions": ("uint256,address", "string"),
    "fileProofs": ("uint256,uint256", PROOF),
    "fileRefinements": ("uint256,uint256", "string"),
    "addFile": ("string", "uint256"),
    "addFileWithSchema": ("string,uint256", "uint256"),
    "addFileWithPermissions": (f"string,address,{PERMISSIONS}", "uint256"),
    "addFilePermission": ("uint256,address,string", ""),
    "addFilePermissionsAndSchema": (f"uint256,{PERMISSIONS},uint256", ""),
    "addProof": (f"uint256,{PROOF}", ""),
    "addRefinementWithPermission": ("uint256,uint256,string,address,string", ""),
    "dataRefinerRegistry": ("", "address"),
    "pause": ("", ""),
    "unpause": ("", ""),
    "teeFee": ("", "uint256"),
    "cancelDelay": ("", "uint256"),
    "activeTeeList": ("", "address[]"),
    "jobsCount": ("", "uint256"),
    "jobs": ("uint256", "(uint256,uint256,uint8,uint256,address,address)"),
    "fileJobIds": ("uint256", "uint256[]"),
    "requestContributionProof": ("uint256", ""),
    "cancelJob": ("uint256", ""),
    "proofInstruction": ("", "string"),
    "fileRewardFactor": ("", "uint256"),
    "requestReward": ("uint256,uint256", ""),
    "refiners": ("uint256", "(uint256,address,string,string,string,uint256)"),
}


class NotRun(Exception):  # noqa: N818 - a result, not an error
    """A behaviour cannot be looked at here; the message says why."""


class RpcError(Exception):
    """What the chain answered instead of a result; `data` is the revert data."""

    def __init__(self, error: Json) -> None:
        super().__init__(error.get("message", ""))
        self.code = error.get("code")
        self.data = str(error.get("data") or "")


@dataclass(frozen=True)
class Signed:
    """A signed transaction, not sent yet."""

    hash: str
    raw: str


class Chain:
    """One chain with the contracts of an addresses file, and the keys that are at hand."""

    def __init__(self, rpc_url: str, addresses: Mapping[str, Any], keys: Mapping[str, str], wait_s: float) -> None:
        self.rpc_url, self.addresses, self.keys, self._wait_s = rpc_url, addresses, keys, wait_s
        self._ids = itertools.count(1)
        self.chain_id = int(self.rpc("eth_chainId"), 16)

    def rpc(self, method: str, *params: Any) -> Any:
        """Return the result of a JSON-RPC method. Raises RpcError."""
        body = json.dumps({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}).encode()
        request = urllib.request.Request(
            self.rpc_url, body, {"Content-Type": "application/json", "User-Agent": "dataunion"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def key(self, role: str) -> str:
        """Return a private key. Raises NotRun."""
        if role not in self.keys:
            raise NotRun(f"no key of the {role} was given")
        return self.keys[role]

    def address(self, role: str) -> str:
        """Return the address of a role's key. Raises NotRun."""
        return str(Account.from_key(self.key(role)).address)

    def view(self, contract: str, function: str, *args: Any) -> Any:
        """Return what a view function says now."""
        output = FUNCTIONS[function][1]
        data = bytes.fromhex(self.call("signer", contract, function, *args)[2:])
        return eth_abi.decode([output], data)[0]

    def call(self, role: str, contract: str, function: str, *args: Any, value: int = 0) -> str:
        """Simulate a call and return its output as hex. Raises RpcError."""
        return str(self.rpc("eth_call", self._fields(role, contract, function, args, value), "latest"))

    def refusal(self, role: str, contract: str, function: str, *args: Any, value: int = 0) -> str:
        """Return the revert data of a simulated call, or "" when it would succeed."""
        try:
            self.call(role, contract, function, *args, value=value)
        except RpcError as error:
            return error.data or str(error)
        return ""

    def sign(
        self, role: str, contract: str, function: str, *args: Any, value: int = 0, gas: int = 0, **fields: Any
    ) -> Signed:
        """Sign a call, estimating its gas unless given. `fields` override nonce and fees."""
        call = self._fields(role, contract, function, args, value)
        gas = gas or int(self.rpc("eth_estimateGas", call), 16) * 13 // 10
        return self.sign_raw(role, to=call["to"], data=call["data"], value=value, gas=gas, **fields)

    def sign_raw(self, role: str, **fields: Any) -> Signed:
        """Sign a transaction at the next nonce; a field that is None is left out."""
        price = int(self.rpc("eth_gasPrice"), 16)
        tx = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": self.next_nonce(role),
            "maxFeePerGas": 3 * price,
            "maxPriorityFeePerGas": min(price, 10**9),
        } | fields
        present = {name: value for name, value in tx.items() if value is not None}
        signed = Account.sign_transaction(present, self.key(role))
        return Signed("0x" + bytes(signed.hash).hex(), "0x" + bytes(signed.raw_transaction).hex())

    def next_nonce(self, role: str) -> int:
        """Return the next nonce, those that wait counted."""
        return int(self.rpc("eth_getTransactionCount", self.address(role), "pending"), 16)

    def broadcast(self, signed: Signed) -> str:
        """Send it; return "" or what the node said against it."""
        try:
            self.rpc("eth_sendRawTransaction", signed.raw)
        except RpcError as error:
            return str(error)
        return ""

    def transact(self, role: str, contract: str, function: str, *args: Any, **options: Any) -> Json:
        """Sign, send and wait; return the receipt, whatever its status."""
        signed = self.sign(role, contract, function, *args, **options)
        said = self.broadcast(signed)
        if said:
            raise AssertionError(f"{function} was refused: {said}")
        return self.receipt(signed.hash)

    def receipt(self, tx_hash: str) -> Json:
        """Wait for a receipt."""
        found: Json = self.until(lambda: self.rpc("eth_getTransactionReceipt", tx_hash), f"the receipt of {tx_hash}")
        return found

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Look until there is something. Raises AssertionError at the deadline."""
        deadline = time.monotonic() + self._wait_s
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited {self._wait_s:.0f} s in vain for {what}")

    def events(self, receipt: Json, signature: str) -> list[list[str]]:
        """Return topics (without the first) and data of the events of this signature, as one list each."""
        topic = "0x" + keccak(text=signature).hex()
        logs = [log for log in receipt["logs"] if log["topics"][0] == topic]
        return [[*log["topics"][1:], log["data"]] for log in logs]

    def balance(self, address: str) -> int:
        """Return a balance in wei."""
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    def new_url(self) -> str:
        """Return a URL that nobody has registered."""
        return f"https://storage.invalid/{secrets.token_hex(16)}"

    def later(self, seconds: int) -> None:
        """Let the chain's clock jump. Raises NotRun where that cannot be."""
        try:
            self.rpc("evm_increaseTime", seconds)
            self.rpc("evm_mine")
        except (RpcError, OSError) as error:
            raise NotRun(f"the chain's clock cannot be moved ({error})") from error

    def attest(self, role: str, url: str, score: int, dlp_id: int, instruction: str) -> tuple[bytes, tuple[Any, ...]]:
        """Return a proof of a file, signed by a role's key as a TEE does."""
        metadata, proof_url = "{}", f"{url}/proof"
        packed = url.encode() + score.to_bytes(32, "big") + dlp_id.to_bytes(32, "big")
        packed += (metadata + proof_url + instruction).encode()
        signed = Account.sign_message(encode_defunct(primitive=keccak(packed)), self.key(role))
        return bytes(signed.signature), (score, dlp_id, metadata, proof_url, instruction)

    def _fields(self, role: str, contract: str, function: str, args: Sequence[Any], value: int) -> Json:
        types = FUNCTIONS[function][0]
        data = keccak(text=f"{function}({types})")[:4] + eth_abi.encode(_split(types), list(args))
        to = to_checksum_address(self.addresses[contract])
        return {"from": self.address(role), "to": to, "data": "0x" + data.hex(), "value": hex(value)}


def _split(types: str) -> list[str]:
    """Split a list of types at the commas outside parentheses."""
    parts, depth = [""], 0
    for character in types:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def selector(error: str, *args: Any) -> str:
    """Return the revert data of a custom error, as hex."""
    types = _split(error[error.index("(") + 1 : -1])
    data: bytes = keccak(text=error)[:4] + eth_abi.encode(types, list(args))
    return "0x" + data.hex()


def topic(value: int | str) -> str:
    """Return an indexed number or address as it stands in a log."""
    number = int(value, 16) if isinstance(value, str) else value
    return f"0x{number:064x}"


def expect(actual: Any, expected: Any, what: str) -> None:
    """Compare. Raises AssertionError that shows both."""
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r}, expected {expected!r}")


def register(chain: Chain, url: str, *, by: str = "signer", owner: str = "signer") -> int:
    """Register `url` with one permission for the DLP; return the file's id."""
    permissions = [(chain.addresses["dlp"], KEY)]
    receipt = chain.transact(by, "registry", "addFileWithPermissions", url, chain.address(owner), permissions)
    expect(receipt["status"], "0x1", "the registration's status")
    return int(chain.view("registry", "fileIdByUrl", url))


def request_proof(chain: Chain, file_id: int, *, extra_wei: int = 0) -> int:
    """Ask for a proof and pay for it; return the job's id."""
    fee = chain.view("tee_pool", "teeFee") + extra_wei
    receipt = chain.transact("signer", "tee_pool", "requestContributionProof", file_id, value=fee)
    event = chain.events(receipt, "JobSubmitted(uint256,uint256,address,uint256)")[0]
    expect(event[1], topic(file_id), "the file of JobSubmitted")
    return int(event[0], 16)


def need_tee(chain: Chain) -> None:
    """Raises NotRun when no TEE is active."""
    if not chain.view("tee_pool", "activeTeeList"):
        raise NotRun("no TEE is active")


def prove(chain: Chain, file_id: int, url: str, *, by: str, score: int = ONE // 2, instruction: str = "") -> None:
    """Add a proof to the registry directly, signed by a role's key."""
    said = instruction or chain.view("dlp", "proofInstruction")
    proof = chain.attest(by, url, score, chain.addresses["dlp_id"], said)
    expect(chain.transact("signer", "registry", "addProof", file_id, proof)["status"], "0x1", "the proof's status")


def transfer(chain: Chain, nonce: int, *, percent: int = 100) -> Signed:
    """Sign a transfer of nothing to ourselves, with fees of so many per cent."""
    price = int(chain.rpc("eth_gasPrice"), 16)
    tip = 10**9 if price >= 10**9 else price
    fees = {"maxFeePerGas": 3 * price * percent // 100, "maxPriorityFeePerGas": tip * percent // 100}
    return chain.sign_raw("signer", to=chain.address("signer"), gas=21_000, nonce=nonce, **fees)


BEHAVIOURS: list[Callable[[Chain], None]] = []


def behaviour(function: Callable[[Chain], None]) -> Callable[[Chain], None]:
    """Add a function to those that are run, in the order of their file."""
    BEHAVIOURS.append(function)
    return function


def run(chain: Chain, behaviours: Iterable[Callable[[Chain], None]]) -> bool:
    """Run and print behaviours; return whether none differs."""
    is_fine = True
    for function in behaviours:
        title = function.__name__.replace("_", " ")
        try:
            function(chain)
            sys.stdout.write(f"as expected  {title}\n")
        except NotRun as why:
            sys.stdout.write(f"not run      {title}: {why}\n")
        except (AssertionError, RpcError, OSError, IndexError) as difference:
            is_fine = False
            sys.stdout.write(f"DIFFERS      {title}: {difference}\n")
        sys.stdout.flush()
    return is_fine


def open_chain(rpc_url: str, addresses: Json, wait_s: float) -> Chain:
    """Return a client with the keys of the file or the environment; a stranger is made when none is given."""
    given = {role: os.environ.get(f"CHAIN_KEY_{role.upper()}", "") for role in ROLES} | addresses.get("keys", {})
    keys = {role: key for role, key in given.items() if key}
    chain = Chain(rpc_url, addresses, keys, wait_s)
    if "stranger" not in keys:
        stranger = Account.create()
        paid = chain.sign_raw("signer", to=stranger.address, gas=21_000, value=STRANGER_WEI)
        chain.broadcast(paid)
        chain.receipt(paid.hash)
        chain = Chain(rpc_url, addresses, {**keys, "stranger": "0x" + bytes(stranger.key).hex()}, wait_s)
    return chain
