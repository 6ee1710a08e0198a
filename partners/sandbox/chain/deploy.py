"""Deploys the doubles and wires them as on Vana: a TEE, a refiner, the DLP's public key and proof instruction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eth_keys import keys
from eth_utils import to_checksum_address

from partners.sandbox.chain.abi import encode_args, encode_call
from partners.sandbox.chain.compile import load
from partners.sandbox.chain.node import Node

ROLES = ("admin", "signer", "tee", "dlp", "refiner", "stranger")
ONE = 10**18
GAS, TIP_WEI = 8_000_000, 10**9
CONTRACTS = {
    "registry": "DataRegistry",
    "tee_pool": "TeePool",
    "dlp": "DataLiquidityPool",
    "refiner_registry": "DataRefinerRegistry",
}


def role_key(role: str) -> str:
    """Return the sandbox's private key of a role; worthless elsewhere, since anyone can compute it."""
    return "0x" + hashlib.sha256(f"dataunion sandbox {role}".encode()).hexdigest()


def key_address(private_key: str) -> str:
    """Return the checksummed address of a private key."""
    return str(_key(private_key).public_key.to_checksum_address())


def public_key(private_key: str) -> str:
    """Return a public key as 0x04 + 64 bytes."""
    return "0x04" + bytes(_key(private_key).public_key.to_bytes()).hex()


def _key(private_key: str) -> Any:
    return keys.PrivateKey(bytes.fromhex(private_key.removeprefix("0x")))


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the contracts are; the same JSON is written for other programs."""

    registry: str
    tee_pool: str
    dlp: str
    refiner_registry: str
    dlp_id: int
    refiner_id: int
    chain_id: int
    rpc_url: str

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """How the doubles are set up. Without `tee_url` no TEE is active yet. Amounts in wei."""

    keys: Mapping[str, str] = field(default_factory=lambda: {role: role_key(role) for role in ROLES})
    tee_url: str = ""
    tee_fee: int = ONE // 100
    cancel_delay_s: int = 100
    dlp_id: int = 1
    proof_instruction: str = "https://proof.invalid/v1"
    refinement_instruction: str = "https://refine.invalid/v1"
    file_reward_factor: int = ONE
    reward_pot: int = 1_000_000 * ONE
    balance: int = 1_000_000 * ONE


class Deployed(Protocol):
    """What is asked of a mined transaction; evm.Mined has it."""

    @property
    def status(self) -> int:
        """Return 1 for one that succeeded."""
        ...

    @property
    def created(self) -> bytes | None:
        """Return the address of the contract that it made."""
        ...


Send = Callable[[bytes, bytes], Deployed]  # to (empty: a creation), data


class Admin:
    """Deploys and calls the doubles as the admin, through `send`, which waits until its transaction is mined."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._compiled = load()
        self._deployed: dict[str, tuple[str, str]] = {}  # what -> (contract, address)

    def deploy(self, what: str, *args: Any) -> str:
        """Deploy the contract called `what` in Addresses; return its address."""
        compiled = self._compiled[CONTRACTS[what]]
        constructor = next(entry for entry in compiled["abi"] if entry["type"] == "constructor")
        mined = self._send(b"", bytes.fromhex(compiled["bytecode"][2:]) + encode_args(constructor, args))
        self._deployed[what] = (CONTRACTS[what], str(to_checksum_address(mined.created)))
        return self._deployed[what][1]

    def transact(self, what: str, function: str, *args: Any) -> None:
        """Call a function of a deployed contract. Raises ValueError when it reverts or is unknown."""
        if what not in self._deployed:
            raise ValueError(f"no contract is called {what!r}; there are {', '.join(self._deployed)}")
        contract, address = self._deployed[what]
        try:
            data = encode_call(self._compiled[contract]["abi"], function, *args)
        except KeyError as error:
            raise ValueError(f"{contract} has no function {function!r}") from error
        if not self._send(bytes.fromhex(address[2:]), data).status:
            raise ValueError(f"{contract}.{function} reverted")


def _sender(node: Node, private_key: str) -> Send:
    """Return what sends transactions of this key, each in a block of its own."""
    key = _key(private_key)
    sender = key.public_key.to_canonical_address()

    def send(to: bytes, data: bytes) -> Deployed:
        with node.lock:
            unsigned = node.evm.unsigned(
                nonce=node.pool.pending_nonce(sender, node.nonce(sender)),
                max_fee=2 * node.head.header.base_fee_per_gas + TIP_WEI,
                tip=TIP_WEI,
                gas=GAS,
                to=to,
                data=data,
            )
            tx = node.read_tx(unsigned.as_signed_transaction(key).encode())
            node.submit(tx)
            node.mine(first=[tx.hash])
            return node.head.mined[0]

    return send


def deploy(node: Node, wiring: Wiring, rpc_url: str) -> tuple[Admin, Addresses]:
    """Deploy and wire everything; the accounts of `wiring.keys` hold money already (see `start_chain`)."""
    admin = Admin(_sender(node, wiring.keys["admin"]))
    return admin, wire(admin, wiring, chain_id=node.chain_id, rpc_url=rpc_url)


def wire(admin: Admin, wiring: Wiring, *, chain_id: int, rpc_url: str) -> Addresses:
    """Deploy and wire everything on any chain."""
    registry = admin.deploy("registry")
    tee_pool = admin.deploy("tee_pool", registry, wiring.cancel_delay_s)
    dlp = admin.deploy("dlp", registry, tee_pool, "Sandbox DLP", wiring.dlp_id, wiring.file_reward_factor)
    refiner_registry = admin.deploy("refiner_registry")
    admin.transact("registry", "updateDataRefinerRegistry", refiner_registry)
    admin.transact("tee_pool", "updateTeeFee", wiring.tee_fee)
    if wiring.tee_url:
        tee = wiring.keys["tee"]
        admin.transact("tee_pool", "addTee", key_address(tee), wiring.tee_url, public_key(tee))
    admin.transact("dlp", "updatePublicKey", public_key(wiring.keys["dlp"]))
    admin.transact("dlp", "updateProofInstruction", wiring.proof_instruction)
    admin.transact("dlp", "addRewardsForContributors", wiring.reward_pot)
    admin.transact("refiner_registry", "setDlpOwner", wiring.dlp_id, key_address(wiring.keys["admin"]))
    admin.transact("refiner_registry", "addSchema", "sandbox", "sqlite", "https://schema.invalid/v1.json")
    admin.transact(
        "refiner_registry", "addRefinerWithSchemaId", wiring.dlp_id, "sandbox", 1, wiring.refinement_instruction
    )
    admin.transact("refiner_registry", "addRefinementService", wiring.dlp_id, key_address(wiring.keys["refiner"]))
    return Addresses(
        registry=registry,
        tee_pool=tee_pool,
        dlp=dlp,
        refiner_registry=refiner_registry,
        dlp_id=wiring.dlp_id,
        refiner_id=1,
        chain_id=chain_id,
        rpc_url=rpc_url,
    )
