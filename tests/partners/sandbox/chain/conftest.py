"""A chain of one's own per test, mined on demand, and a client that speaks to it over its socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks._chain import Chain as Client
from benchmarks._chain import Signed
from partners.sandbox.chain.deploy import Wiring
from partners.sandbox.chain.server import Chain, start_chain


@pytest.fixture
def chain() -> Iterator[Chain]:
    running = start_chain(block_s=0, wiring=Wiring(tee_url="https://tee.invalid"))
    yield running
    running.stop()


@pytest.fixture
def client(chain: Chain) -> Client:
    return Client(chain.rpc_url, asdict(chain.addresses), chain.keys, wait_s=10)


@pytest.fixture
def transfer(client: Client) -> Any:
    """Sign a transfer of the signer to itself; fees in gwei."""

    def sign(nonce: int, *, fee: int = 10, tip: int = 1, **fields: Any) -> Signed:
        fees = {"maxFeePerGas": fee * 10**9, "maxPriorityFeePerGas": tip * 10**9}
        return client.sign_raw(
            "signer", **({"to": client.address("signer"), "gas": 21_000, "nonce": nonce} | fees | fields)
        )

    return sign


@pytest.fixture(scope="session")
def selectors() -> dict[str, Any]:
    path = Path(__file__).parents[3] / "vectors" / "vana" / "selectors.json"
    return dict(json.loads(path.read_text()))
