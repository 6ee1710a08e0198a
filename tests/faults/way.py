"""Vana's way, block by block: the chain goes on only when it is told to, so that faults come at a known moment."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dataunion import claims, roster
from dataunion.clock import db_now
from dataunion.models import ChainTx, DataUnion, Partner, Signer, SyncAttempt, SyncJob
from dataunion.state import LIVE
from partners.sandbox.chain.abi import encode_call
from partners.sandbox.chain.compile import load
from partners.sandbox.chain.deploy import key_address
from partners.vana import abi
from partners.vana.signature import address_of, sign_transaction
from tests.faults.union import PATIENCE_S, Union
from tests.flows.sandboxes import BLOCK_S

REGISTER_ONLY = {"request_proof": "no", "refine": "no", "reward": "no"}
GWEI = 10**9
Change = tuple[str, list[Any]]
RICH_WEI = 10**24
WORKING = ("akave", "vana")
PURPOSES = ("register", "request_proof", "reward")
LOOKS_A_TICK, BLOCKS_AT_ONCE = 5, 24


class Way:
    """What the chain's scenarios do and ask; blocks are held while it lives."""

    def __init__(self, union: Union) -> None:
        self.union, self.sandboxes = union, union.sandboxes
        self.chain, self.node = union.sandboxes.chain, union.sandboxes.chain.node
        self.signer = key_address(self.sandboxes.signer_key)
        self.addresses = self.chain.addresses
        self.foreign: list[str] = []  # transactions of the signer that are not ours

    def configure(self, **options: str) -> None:
        """Give the partner other options, as staff do."""
        row = roster.get_partner("vana")
        roster.configure(row, config={**row.config, **options})

    def partner_has(self, **fields: Any) -> None:
        """Set limits of the partner's row."""
        Partner.objects.filter(name="vana").update(**fields)

    # going on

    def store(self, *data_ids: str) -> list[DataUnion]:
        """Hand records in, and let Akave and the webhook have them."""
        records = [self.union.hand_in(data_id) for data_id in data_ids]
        self.union.settle("akave", "hook")
        return records

    def mine(self, blocks: int = 1) -> None:
        """Add blocks."""
        self.node.mine(blocks)

    def go(self, until: Callable[[], Any] | None = None) -> None:
        """Work, and pass the time where nothing is due, until `until` holds, or no work is open."""

        is_over = until or (lambda: not self.union.open_work(*WORKING))
        give_up_at = time.monotonic() + PATIENCE_S
        for look in itertools.count():
            if look % LOOKS_A_TICK == LOOKS_A_TICK - 1:
                self.union.tick()
            self.union.push(*WORKING)
            if is_over():
                return
            assert time.monotonic() < give_up_at, f"still open after {PATIENCE_S} s: {self.union.open_work(*WORKING)}"
            self.pass_time()

    def pass_time(self) -> None:
        """Let the time pass until something is due, and as many blocks come as belong to it."""
        blocks = round(self.union.wait_for_next(*WORKING) / BLOCK_S)
        self.mine(min(max(1, blocks), BLOCKS_AT_ONCE))

    def go_to(self, step: str, *, status: str = "pending") -> None:
        """Go on until Vana's only job waits at this step."""
        self.go(until=lambda: self.job().step == step and self.job().status == status)

    def go_broadcast(self, purpose: str) -> str:
        """Go on until the transaction for this waits in the mempool; return its hash."""
        number = PURPOSES.index(purpose) + 1
        self.go(until=lambda: len(self.hashes()) == number)
        return self.hashes()[-1]

    def stand(self) -> None:
        """Be Vana's worker once, while the chain stands still."""
        self.union.tick()
        self.union.push("vana")

    def retry(self) -> None:
        """Try everything again that failed or waits for its next attempt, as staff do."""
        jobs = SyncJob.objects.filter(partner="vana")
        claims.reopen(jobs, trigger="retry by staff", priority=LIVE, now=db_now())

    # what is so

    def job(self, record: DataUnion | None = None) -> SyncJob:
        """Return Vana's job of a record, or its only one."""
        jobs = SyncJob.objects.filter(partner="vana")
        return (jobs.filter(record=record) if record else jobs).get()

    def jobs(self) -> list[SyncJob]:
        """Return Vana's open jobs."""
        return list(SyncJob.objects.filter(partner="vana"))

    def records(self) -> list[DataUnion]:
        """Return all records, in the order in which they came."""
        return list(DataUnion.objects.order_by("pk"))

    def is_synced(self, record: DataUnion) -> bool:
        return self.union.is_synced(record, "vana")

    def url(self, record: DataUnion) -> str:
        url: str = self.union.entry(record, "akave")["url"]
        return url

    def file_id(self, record: DataUnion) -> int:
        """Return the id under which the chain knows the record's URL; 0 for none."""
        found: int = self.sandboxes.read("registry", "fileIdByUrl", self.url(record))
        return found

    def new_files(self) -> int:
        """Count what was registered since the test began, by anyone."""
        found: int = self.sandboxes.read("registry", "filesCount") - self.sandboxes.files_before
        return found

    def broadcasts(self, answer: str = "accepted") -> list[dict[str, Any]]:
        """Return what the node was sent by our signer since the test began, oldest first."""
        sent = [one for one in self.sandboxes.chain_log() if one["method"] == "eth_sendRawTransaction"]
        ours = [one for one in sent if one.get("sender") == self.signer.lower() and one["answer"] == answer]
        return [one for one in ours if one["tx_hash"] not in self.foreign]

    def broadcast_count(self, tx_hash: str) -> int:
        """Return how often the node was sent a transaction."""
        return [sent["tx_hash"] for sent in self.broadcasts()].count(tx_hash)

    def hashes(self) -> list[str]:
        """Return the different transactions that we sent, oldest first."""
        return list(dict.fromkeys(one["tx_hash"] for one in self.broadcasts()))

    def partner(self) -> Partner:
        return roster.get_partner("vana")

    def assert_all_well(self, *records: DataUnion, txs: int, proofs: int = 1, strangers: int = 0) -> None:
        """Say that each record went the whole way once: one file of ours, one proof, one reward, so many nonces."""
        for record in records:
            entry = self.union.entry(record, "vana")
            assert entry["is_synced"], entry
            assert self.file_id(record) == entry["file_id"]
            assert self.sandboxes.read("registry", "files", entry["file_id"])[1].lower() == self.signer.lower()
            if self.adapter_option("request_proof") == "yes":
                jobs = self.sandboxes.read("tee_pool", "fileJobIds", entry["file_id"])
                states = Counter(self.sandboxes.read("tee_pool", "jobs", one)[2] for one in jobs)
                assert states == Counter({2: 1, 3: proofs - 1}) - Counter()
                assert int(entry["reward"]["amount"]) > 0
                assert entry["refinement"]["url"]
        assert self.new_files() == len(records) + strangers
        signed = list(ChainTx.objects.order_by("nonce").values_list("step", "generation"))
        assert len(signed) == txs, signed
        self.assert_signer_is_free()
        self.union.check(**({"foreign_txs": self.foreign} if self.foreign else {}))

    def assert_signer_is_free(self) -> None:
        """Say that nobody holds the signer, and that none of its nonces is open."""
        assert set(Signer.objects.values_list("lease_token", flat=True)) == {""}
        nonces = sorted(ChainTx.objects.values_list("nonce", flat=True))
        assert len(nonces) == len(set(nonces))
        assert max(nonces, default=-1) < self.nonce()

    def adapter_option(self, name: str) -> str:
        found: str = roster.get_adapter(self.partner()).config[name]
        return found

    def told(self, record: DataUnion) -> list[str]:
        """Return what staff were told of the attempts, oldest first."""
        rows = SyncAttempt.objects.filter(record=record, partner="vana").order_by("number")
        return list(rows.values_list("error_message", flat=True))

    # other people's doings

    def nonce(self, address: str = "") -> int:
        """Return how many transactions of an account (our signer) are mined."""
        mined: int = self.node.nonce(bytes.fromhex((address or self.signer)[2:]))
        return mined

    def transact(self, role: str, data: str, *, to: str, nonce: int | None = None, gwei: int = 5) -> str:
        """Broadcast a transaction with one of the chain's keys; return its hash."""
        key = self.chain.keys[role]
        fields = {"to": to, "data": data, "value": 0, "gas": 2_000_000}
        fees = {"maxFeePerGas": gwei * GWEI, "maxPriorityFeePerGas": gwei * GWEI}
        free = self.nonce(address_of(key)) if nonce is None else nonce
        signed = sign_transaction(key, {"chainId": self.addresses.chain_id, "nonce": free, **fields, **fees})
        if role == "signer":
            self.foreign.append(signed.tx_hash)
        self.node.submit(self.node.read_tx(signed.raw))
        return signed.tx_hash

    def add_proof_as_stranger(self, record: DataUnion, proof: tuple[Any, ...]) -> None:
        """Have somebody else add a proof to the record's file, which anyone may."""
        data = encode_call(load()["DataRegistry"]["abi"], "addProof", self.file_id(record), proof)
        self.transact("stranger", "0x" + data.hex(), to=self.addresses.registry)
        self.mine()

    def register_as_stranger(self, url: str, *, gwei: int = 5) -> str:
        """Have somebody else register a URL; return the transaction's hash."""
        owner = key_address(self.chain.keys["stranger"])
        return self.transact("stranger", abi.ADD_FILE.encode(url, owner, []), to=self.addresses.registry, gwei=gwei)

    def mined(self, tx_hash: str) -> Any:
        """Return a transaction as its block holds it, which knows whether it succeeded."""
        found = self.node.find_mined(tx_hash)
        assert found is not None
        return found[2]

    @contextmanager
    def changed(self, contract: str, change: Change, back: Change) -> Iterator[None]:
        """Have Vana change a contract as long as this lasts; a change is a function and its arguments."""
        self.sandboxes.ask_chain("sandbox_transact", contract, *change)
        try:
            yield
        finally:
            self.sandboxes.ask_chain("sandbox_transact", contract, *back)

    def set_balance(self, wei: int) -> None:
        """Give the signer exactly so much."""
        self.node.set_balance(bytes.fromhex(self.signer[2:]), wei)
