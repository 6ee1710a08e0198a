"""The adapter keeps the contract of all adapters: registration alone, and the whole flow."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from partners.base import Item, Partner
from partners.testing import MemoryLedger, PartnerContract
from tests.partners.vana.world import World


class TestVanaContract(PartnerContract):
    """Registration alone."""

    effects_after_revoke = 1  # a registration cannot be taken off the chain
    flow: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _world(self, world: World) -> None:
        self.world = world

    def make_partner(self) -> Partner:
        return self.world.partner(**self.flow)

    def make_item(self, number: int = 0) -> Item:
        return self.world.item(number)

    def remote_effects(self) -> int:
        counts = ("registry", "filesCount"), ("tee_pool", "jobsCount"), ("dlp", "filesListCount")
        return max(self.world.count(contract, function) for contract, function in counts)

    def break_next(self, kind: str) -> None:
        fault = {"unavailable": "rpc_500", "lost_response": "broadcast_lost_response"}[kind]
        self.world.arm(fault, match="eth_sendRawTransaction")

    def make_ledger(self, partner: Any) -> MemoryLedger:
        return self.world.ledger(partner)

    def wait(self, after_s: float) -> None:
        self.world.mine(after_s)


class TestVanaContractWithProof(TestVanaContract):
    """The whole flow: proof, refinement, reward."""

    @pytest.fixture(autouse=True)
    def _services(self, _world: None) -> None:
        self.world.start_tee()
        refiner = self.world.start_refiner()
        self.flow = {  # type: ignore[misc]
            "request_proof": "yes",
            "tee_timeout_s": "100000",  # every block is a second on the chain's clock
            "refine": "yes",
            "reward": "yes",
            "refiner_url": refiner.url,
            "refiner_id": str(self.world.addresses.refiner_id),
        }
