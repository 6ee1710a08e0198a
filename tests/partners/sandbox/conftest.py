"""Running sandboxes, and a way to wait for what they log."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from partners.akave.encoding import encrypt, new_record_key
from partners.sandbox.chain.deploy import Wiring, key_address, public_key
from partners.sandbox.chain.server import Chain, start_chain
from partners.sandbox.control import Server
from partners.sandbox.onchain import Onchain
from partners.sandbox.receiver import start_receiver
from partners.sandbox.refiner import start_refiner
from partners.sandbox.s3 import start_s3
from partners.sandbox.tee import start_tee
from partners.vana.encoding import ecies_seal, parse_public_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], Any]:
    """Return a function that asks again and again until the answer is true, for ten seconds at most."""

    def wait(is_so: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            answer = is_so()
            if answer:
                return answer
            time.sleep(0.005)
        raise AssertionError("it did not happen within ten seconds")

    return wait


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Return a pool for calls that are held up. Ask for it before the server that holds them."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def s3(aside: ThreadPoolExecutor) -> Iterator[Server]:
    server = start_s3(access_key_id="AKSANDBOX", secret="sandbox-secret")
    yield server
    server.stop()


@pytest.fixture
def client_of() -> Iterator[Callable[..., Any]]:
    """Return a maker of boto3 clients that never retry, with the checksum settings the adapter uses."""
    made = []

    def make(server: Server, key: str = "AKSANDBOX", secret: str = "sandbox-secret") -> Any:
        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=5,
        )
        client = boto3.client(
            "s3",
            endpoint_url=server.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-south-1",
            config=config,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def receiver(aside: ThreadPoolExecutor) -> Iterator[Server]:
    server = start_receiver(secret=SECRET)
    yield server
    server.stop()


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """A file on S3 and on chain, with all that was drawn for it."""

    file_id: int
    url: str
    password: str
    permission: dict[str, str]  # as RunProof's validate_permissions holds it


@pytest.fixture(scope="module")
def shared_chain() -> Iterator[Chain]:
    chain = start_chain(block_s=0.05, wiring=Wiring(tee_fee=0))
    yield chain
    chain.stop()


@pytest.fixture
def chain(shared_chain: Chain) -> Iterator[Chain]:
    yield shared_chain
    shared_chain.faults.disarm()


@pytest.fixture
def addresses(chain: Chain) -> dict[str, Any]:
    return asdict(chain.addresses)


@pytest.fixture
def signer(chain: Chain, addresses: dict[str, Any]) -> Onchain:
    """Return the account that contributes."""
    return Onchain(
        rpc_url=chain.rpc_url, private_key=chain.keys["signer"], addresses=addresses, stopping=threading.Event()
    )


@pytest.fixture
def contribute(s3: Server, client_of: Any, chain: Chain, signer: Onchain) -> Callable[..., Contribution]:
    """Return a function that encrypts, stores and registers a payload with a permission for the DLP."""

    def put(payload: bytes = b'{"steps": 1}', *, stored: bool = True) -> Contribution:
        password, key, recipient = new_record_key(), uuid.uuid4().hex, public_key(chain.keys["dlp"])
        if stored:
            client_of(s3).put_object(Bucket="health", Key=key, Body=encrypt(payload, password))
        for_dlp, iv, ephemeral = ecies_seal(parse_public_key(recipient), password.encode())
        url, dlp = f"{s3.url}/health/{key}", chain.addresses.dlp
        signer.send("registry", "addFileWithPermissions", url, signer.address, [(dlp, for_dlp)])
        return Contribution(
            file_id=signer.read("registry", "fileIdByUrl", url),
            url=url,
            password=password,
            permission={
                "address": dlp,
                "public_key": recipient,
                "iv": iv.hex(),
                "ephemeral_key": ephemeral.hex(),
            },
        )

    return put


@pytest.fixture
def tee(aside: ThreadPoolExecutor, chain: Chain, addresses: dict[str, Any]) -> Iterator[Server]:
    server = start_tee(rpc_url=chain.rpc_url, addresses=addresses, private_key=chain.keys["tee"], join_pool=True)
    yield server
    server.stop()
    chain.admin.transact("tee_pool", "removeTee", key_address(chain.keys["tee"]))


@pytest.fixture
def refiner(chain: Chain, addresses: dict[str, Any]) -> Iterator[Server]:
    server = start_refiner(rpc_url=chain.rpc_url, addresses=addresses, private_key=chain.keys["refiner"])
    yield server
    server.stop()
