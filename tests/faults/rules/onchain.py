"""What the sandbox chain holds, read from its canonical blocks: transactions, and what their events and calls say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import eth_abi
from eth_utils import keccak

from partners.sandbox.chain import abi as abis
from partners.sandbox.chain.compile import load
from partners.sandbox.chain.deploy import key_address
from tests.flows.sandboxes import Sandboxes

_KEYS = "(address,string)[]"
_PERMITTING = {  # functions that store keys: how their arguments read, and where the keys stand
    "addFileWithPermissions": (["string", "address", _KEYS], 2),
    "addFileWithPermissionsAndSchema": (["string", "address", _KEYS, "uint256"], 2),
    "addFilePermissionsAndSchema": (["uint256", _KEYS, "uint256"], 1),
}


@dataclass(kw_only=True)
class File:
    """A registration; `sender` made its transaction, `keys` stand there by account."""

    file_id: int
    owner: str
    url: str
    sender: str
    tx_hash: str
    keys: dict[str, str] = field(default_factory=dict)
    requests: dict[int, str] = field(default_factory=dict)  # proof jobs that were not cancelled: who paid, by id
    rewards: int = 0


@dataclass(kw_only=True)
class Tx:
    """A mined transaction."""

    tx_hash: str
    sender: str
    nonce: int
    succeeded: bool
    block: int


@dataclass(kw_only=True)
class OnChain:
    """The chain at one moment; addresses in lower case."""

    signer: str
    files: dict[int, File]
    txs: dict[str, Tx]
    broadcasts: list[Mapping[str, Any]]  # what came from our signer since the scenario began, oldest first


@dataclass(frozen=True)
class _Event:
    name: str
    topics: Sequence[int]
    data: bytes


def read_chain(sandboxes: Sandboxes) -> OnChain:
    """Read the canonical blocks; registrations of earlier scenarios are left out."""
    node, signer = sandboxes.chain.node, key_address(sandboxes.signer_key).lower()
    with node.lock:
        blocks = list(node.blocks)
    sent = [one for one in sandboxes.chain_log() if str(one.get("sender", "")).lower() == signer]
    found = OnChain(signer=signer, files={}, txs={}, broadcasts=sent)
    signatures = _signatures()
    for block in blocks:
        for mined in block.mined:
            tx = Tx(
                tx_hash="0x" + bytes(mined.tx.hash).hex(),
                sender="0x" + bytes(mined.tx.sender).hex(),
                nonce=mined.tx.nonce,
                succeeded=bool(mined.status),
                block=block.number,
            )
            found.txs[tx.tx_hash] = tx
            events = [_event(signatures, log) for log in mined.logs]
            _take_in(found, tx, [event for event in events if event], bytes(mined.tx.data))
    found.files = {n: file for n, file in found.files.items() if n > sandboxes.files_before}
    return found


@cache
def _signatures() -> dict[int, str]:
    """Return the names of the contracts' events by their first topic."""
    entries = [entry for contract in load().values() for entry in contract["abi"] if entry["type"] == "event"]
    return {int.from_bytes(keccak(text=abis.signature(entry)), "big"): entry["name"] for entry in entries}


def _event(signatures: Mapping[int, str], log: Any) -> _Event | None:
    name = signatures.get(log.topics[0]) if log.topics else None
    return _Event(name, log.topics[1:], bytes(log.data)) if name else None


def _take_in(found: OnChain, tx: Tx, events: Sequence[_Event], data: bytes) -> None:
    keys = _keys(data)
    for event in events:
        if event.name in ("FileAdded", "FileAddedV2"):
            _register(found, tx, event)
        elif event.name == "JobCanceled":
            for file in found.files.values():
                file.requests.pop(event.topics[0], None)
        else:
            _add_to_file(found, tx, event, keys)


def _add_to_file(found: OnChain, tx: Tx, event: _Event, keys: Mapping[str, str]) -> None:
    """Take in a key, a proof request or a reward; events of the same names by other contracts have no such file."""
    if event.name == "PermissionGranted" and event.topics[0] in found.files:
        account = _address(event.topics[1])
        if account in keys:
            found.files[event.topics[0]].keys[account] = keys[account]
    elif event.name == "JobSubmitted" and event.topics[1] in found.files:
        found.files[event.topics[1]].requests[event.topics[0]] = tx.sender
    elif event.name == "RewardRequested" and event.topics[1] in found.files:
        found.files[event.topics[1]].rewards += 1


def _register(found: OnChain, tx: Tx, event: _Event) -> None:
    types = ["string"] if event.name == "FileAdded" else ["string", "uint256"]
    url = eth_abi.decode(types, event.data)[0]
    known = found.files.get(event.topics[0])
    if known is None:
        owner = _address(event.topics[1])
        made = File(file_id=event.topics[0], owner=owner, url=url, sender=tx.sender, tx_hash=tx.tx_hash)
        found.files[made.file_id] = made


def _address(topic: int) -> str:
    return "0x" + topic.to_bytes(32, "big")[12:].hex()


def _keys(data: bytes) -> dict[str, str]:
    """Return the keys by account that a call to the registry stores."""
    selectors = _selectors()
    name, types, at = selectors.get(data[:4], ("", [], 0))
    if name == "addFilePermission":
        _, account, key = eth_abi.decode(types, data[4:])
        return {account.lower(): key}
    if not name:
        return {}
    return {account.lower(): key for account, key in eth_abi.decode(types, data[4:])[at]}


@cache
def _selectors() -> dict[bytes, tuple[str, list[str], int]]:
    functions = {**_PERMITTING, "addFilePermission": (["uint256", "address", "string"], 0)}
    return {
        bytes(keccak(text=f"{name}({','.join(types)})")[:4]): (name, types, at)
        for name, (types, at) in functions.items()
    }
