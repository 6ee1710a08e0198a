"""Local doubles of all partners, in this process behind real sockets, and the options of the real adapters for them."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import boto3
from botocore.config import Config

from partners.sandbox.chain.deploy import Wiring, key_address
from partners.sandbox.chain.server import start_chain
from partners.sandbox.control import Entry
from partners.sandbox.faults import Fault
from partners.sandbox.onchain import Onchain
from partners.sandbox.receiver import start_receiver
from partners.sandbox.refiner import start_refiner
from partners.sandbox.s3 import start_s3
from partners.sandbox.tee import start_tee

ACCESS_KEY_ID, ACCESS_SECRET = "AKTESTS", "access-secret-that-no-log-may-hold"
HOOK_SECRET = "whsec_bm8tbG9nLW1heS1ob2xkLXRoaXMtd2ViaG9vaw=="
REGION = "us-south-1"
BLOCK_S, FINALIZED_DEPTH = 0.1, 3


class Sandboxes:
    """S3, chain, TEE, refiner and webhook receiver. `name` keeps the buckets apart from those of other tests."""

    def __init__(self, name: str, *, block_s: float = BLOCK_S) -> None:
        self.buckets = {kind: f"{name}-{kind}" for kind in ("health", "checkin")}
        self.s3 = start_s3(access_key_id=ACCESS_KEY_ID, secret=ACCESS_SECRET, buckets=[*self.buckets.values()])
        self.chain = start_chain(block_s=block_s, finalized_depth=FINALIZED_DEPTH, wiring=Wiring(tee_fee=10**16))
        told = {"rpc_url": self.chain.rpc_url, "addresses": asdict(self.chain.addresses)}
        self.tee = start_tee(**told, private_key=self.chain.keys["tee"], join_pool=True)
        self.refiner = start_refiner(**told, private_key=self.chain.keys["refiner"])
        self.receiver = start_receiver(secret=HOOK_SECRET)
        self.signer_key = self.chain.keys["signer"]
        self._chain = Onchain(**told, private_key=self.chain.keys["stranger"], stopping=threading.Event())
        self.begin()

    def stop(self) -> None:
        for server in (self.tee, self.refiner, self.receiver, self.s3, self.chain):
            server.stop()

    def disarm(self) -> None:
        for server in (self.tee, self.refiner, self.receiver, self.s3, self.chain):
            server.faults.disarm()

    def begin(self) -> None:
        """Forget the objects in S3, and all that was asked until now; what is on the chain stays there."""
        with self._storage() as storage:
            for bucket in self.buckets.values():
                for entry in storage.list_objects_v2(Bucket=bucket).get("Contents", []):
                    storage.delete_object(Bucket=bucket, Key=entry["Key"])
        self.files_before = self.read("registry", "filesCount")
        self._seen = {"s3": len(self.s3.log()), "chain": len(self.chain.log), "hook": len(self.receiver.log())}

    # how to reach them

    def akave_options(self) -> dict[str, str]:
        return {
            "endpoint_url": self.s3.url,
            "region": REGION,
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": ACCESS_SECRET,
            "bucket_health": self.buckets["health"],
            "bucket_checkin": self.buckets["checkin"],
            "read_timeout_s": "5",
        }

    def vana_options(self) -> dict[str, str]:
        where = self.chain.addresses
        return {
            "rpc_url": self.chain.rpc_url,
            "chain_id": str(where.chain_id),
            "private_key": self.signer_key,
            "registry": where.registry,
            "tee_pool": where.tee_pool,
            "dlp": where.dlp,
            "request_proof": "yes",
            "refine": "yes",
            "reward": "yes",
            "refiner_url": self.refiner.url,
            "refiner_id": str(where.refiner_id),
            "allow_private": "yes",
            "confirmations": str(FINALIZED_DEPTH),
            "poll_s": "0.1",
        }

    def hook_options(self) -> dict[str, str]:
        return {"url": f"{self.receiver.url}/hook", "allow_private": "yes", "timeout_s": "5"}

    def environment(self) -> dict[str, str]:
        """Return the variables by which a deployment reaches Akave and Vana."""
        akave = {f"AKAVE_{name.upper()}": value for name, value in self.akave_options().items()}
        return akave | {f"VANA_{name.upper()}": value for name, value in self.vana_options().items()}

    # what happened there

    def arm_s3(self, kind: str, **fields: Any) -> None:
        self.s3.faults.arm(Fault(kind=kind, **fields))

    def arm_chain(self, kind: str, **fields: Any) -> None:
        self.chain.faults.arm(Fault(kind=kind, **fields))

    def ask_chain(self, method: str, *params: Any) -> Any:
        """Call a JSON-RPC method, also those that only the sandbox has; raise ValueError for an error."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.chain.rpc_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
        if "error" in told:
            raise ValueError(told["error"]["message"])
        return told["result"]

    def arm_hook(self, kind: str, **fields: Any) -> None:
        self.receiver.faults.arm(Fault(kind=kind, **fields))

    def storage_log(self) -> list[Entry]:
        """Return what S3 was asked since `begin`, oldest first."""
        return self.s3.log()[self._seen["s3"] :]

    def chain_log(self) -> list[Entry]:
        """Return what the chain's node was asked since `begin`, oldest first."""
        return list(self.chain.log[self._seen["chain"] :])

    def hook_log(self) -> list[Entry]:
        """Return what the webhook's receiver was asked since `begin`, oldest first."""
        return self.receiver.log()[self._seen["hook"] :]

    def puts(self, key: str) -> list[Entry]:
        """Return every PUT of this object, oldest first."""
        return [entry for entry in self.storage_log() if (entry["method"], entry["key"]) == ("PUT", key)]

    def fetch(self, url: str) -> bytes:
        """GET an object as anyone can who knows its URL."""
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def stored_keys(self) -> set[str]:
        """List both buckets."""
        with self._storage() as storage:
            listed = [storage.list_objects_v2(Bucket=bucket).get("Contents", []) for bucket in self.buckets.values()]
        return {entry["Key"] for entries in listed for entry in entries}

    @contextmanager
    def without_bucket(self, kind: str) -> Iterator[None]:
        """Let there be no such bucket, which is empty, as long as this lasts."""
        with self._storage() as storage:
            storage.delete_bucket(Bucket=self.buckets[kind])
            try:
                yield
            finally:
                storage.create_bucket(Bucket=self.buckets[kind])

    @contextmanager
    def _storage(self) -> Iterator[Any]:
        client = boto3.client(
            "s3",
            endpoint_url=self.s3.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=ACCESS_SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )
        try:
            yield client
        finally:
            client.close()

    def read(self, contract: str, function: str, *args: Any) -> Any:
        """Read a view function of a contract."""
        return self._chain.read(contract, function, *args)

    def registered_urls(self) -> Counter[str]:
        """Count the registrations that are ours, by URL."""
        files = [self.read("registry", "files", number + 1) for number in range(self.read("registry", "filesCount"))]
        ours = key_address(self.signer_key).lower()
        return Counter(url for _, owner, url, _, _ in files if owner.lower() == ours)
