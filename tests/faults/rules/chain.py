"""I2, I3, I5, I7 and I10 at the chain: one registration per record, with its URL and keys, and nothing paid twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

from dataunion import roster
from dataunion.models import ChainTx
from tests.faults.rules.onchain import File, OnChain
from tests.faults.rules.storage import SKEW_S, withdrawn_at
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation

Ledger = Mapping[UUID, list[ChainTx]]  # by record


def check_chain(
    world: World, found: OnChain, told: set[tuple[str, str]], foreign: Collection[str]
) -> Iterator[Violation]:
    """Yield what breaks an invariant at the chain."""
    ledger: dict[UUID, list[ChainTx]] = defaultdict(list)
    for tx in world.txs:
        ledger[tx.record].append(tx)
    by_url: dict[str, list[File]] = defaultdict(list)
    for file in found.files.values():
        by_url[file.url].append(file)
    yield from _signed_by_us(world, found, foreign)
    yield from _each_file_explained(world, found, ledger, by_url, foreign)
    for side in world.of("vana"):
        if (str(side.record.pk), side.partner.name) in told and not side.saved.get("url"):
            continue
        results = [*_registered(side, found, by_url), *_taken_back(side, found, ledger)]
        yield from (Violation(invariant, f"{side}: {what}") for invariant, what in results)
    yield from _room(world, found)


def _signed_by_us(world: World, found: OnChain, foreign: Collection[str]) -> Iterator[Violation]:
    """Whatever our signer sent stands in the ledger, under its nonce."""
    nonces = {tx_hash: tx.nonce for tx in world.txs for tx_hash in tx.hashes}
    for sent in found.broadcasts:
        tx_hash = sent.get("tx_hash", "")
        if sent["answer"] != "accepted" or tx_hash in foreign:
            continue
        if tx_hash not in nonces:
            yield Violation("I2", f"vana: transaction {tx_hash}: no row of the ledger explains it")
        elif nonces[tx_hash] != sent["nonce"]:
            yield Violation("I2", f"vana: transaction {tx_hash} has nonce {sent['nonce']}, not its row's")


def _each_file_explained(
    world: World, found: OnChain, ledger: Ledger, by_url: Mapping[str, list[File]], foreign: Collection[str]
) -> Iterator[Violation]:
    places = {tx.step for rows in ledger.values() for tx in rows}
    ours = {sent.get("tx_hash") for sent in found.broadcasts} - set(foreign)
    for file in found.files.values():
        place = f"register:{hashlib.sha256(file.url.encode()).hexdigest()[:8]}"
        if file.tx_hash in ours and place not in places:
            yield Violation("I2", f"vana: file {file.file_id}: no record explains it")
        paid = [job for job, sender in file.requests.items() if sender == found.signer]
        if len(paid) > 1:
            yield Violation("I2", f"vana: file {file.file_id}: {len(paid)} proofs were paid: {sorted(paid)}")
        if file.rewards > 1:
            yield Violation("I2", f"vana: file {file.file_id}: rewarded {file.rewards} times")
    for url, files in by_url.items():
        if len(files) > 1:
            ids = ", ".join(str(file.file_id) for file in files)
            yield Violation("I2", f"vana: one URL is registered as files {ids}: {url[-12:]}")
    yield from _one_file_each(world)


def _one_file_each(world: World) -> Iterator[Violation]:
    """No two records of ours share a registration."""
    holders: dict[int, Side] = {}
    for side in world.of("vana"):
        file_id = side.entry.receipt.get("file_id") if side.is_synced else None
        if file_id is None:
            continue
        if file_id in holders:
            yield Violation("I2", f"{side}: file {file_id} is {holders[file_id]}'s too")
        holders[file_id] = side


def _registered(side: Side, found: OnChain, by_url: Mapping[str, list[File]]) -> Iterator[tuple[str, str]]:
    """Compare the chain with the entry of Vana, and that with Akave's."""
    if not side.is_synced:
        return
    url = str(side.record.partners.get("akave", {}).get("url", side.saved.get("url")))
    files = by_url.get(url, [])
    if len(files) != 1:
        yield "I2", f"synced, and {len(files)} registrations hold its URL"
        return
    yield from (("I3", what) for what in _as_told(side, files[0], found))


def _as_told(side: Side, file: File, found: OnChain) -> Iterator[str]:
    entry = side.entry.receipt
    if entry.get("file_id") != file.file_id:
        yield f"the entry tells of file {entry.get('file_id')}, its URL is file {file.file_id}"
    if file.owner != str(side.saved.get("owner", "")).lower():
        yield f"file {file.file_id} belongs to somebody else"
    for permission in side.saved.get("permissions", []):
        if file.keys.get(permission["account"].lower()) != permission["key"]:
            yield f"file {file.file_id} lacks the key for {permission['account']}"
    tx = found.txs.get(str(entry.get("tx_hash")))
    if entry.get("tx_hash") and (tx is None or not tx.succeeded):
        yield "the transaction of its entry is not on the chain"
    if tx is not None and entry.get("block") not in (None, tx.block):
        yield f"the entry tells of block {entry.get('block')}, its transaction is in {tx.block}"


def _taken_back(side: Side, found: OnChain, ledger: Ledger) -> Iterator[tuple[str, str]]:
    at = withdrawn_at(side.entry)
    if at is None or not side.is_withdrawn:
        return
    rows = [tx for tx in ledger.get(side.record.pk, []) if tx.step.startswith("register:")]
    ours = {tx_hash for tx in rows for tx_hash in tx.hashes}
    if any(sent.get("tx_hash") in ours and sent["at"] > at + SKEW_S for sent in found.broadcasts):
        yield "I7", "its registration was broadcast after it was withdrawn"
    for file in found.files.values():
        if file.tx_hash in ours and file.owner == found.signer and any(file.keys.values()):
            yield "I2", f"withdrawn, and file {file.file_id} still holds keys"


def _room(world: World, found: OnChain) -> Iterator[Violation]:
    """No more transactions wait to be mined than is allowed."""
    mined = max((tx.nonce + 1 for tx in found.txs.values() if tx.sender == found.signer), default=0)
    for name in world.partners:
        if world.kind(name) == "vana":
            waiting = sum(tx.nonce >= mined for tx in world.txs if tx.partner == name)
            limit = int(roster.get_adapter(world.partners[name]).config["max_unmined"])
            if waiting > limit:
                yield Violation("I10", f"{name}: {waiting} transactions wait to be mined, {limit} are allowed")
