"""Running sandboxes, and a way to wait for what they log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config

from partners.sandbox.control import Server
from partners.sandbox.receiver import start_receiver
from partners.sandbox.s3 import start_s3

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
