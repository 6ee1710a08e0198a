"""The Vana partner: which steps in which order. What each does stands in the file of its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from partners.base import (
    REVOKE,
    Funds,
    Item,
    Ledger,
    ManyResult,
    Partner,
    SignedTx,
    SignerReading,
    SignerView,
    StepResult,
    Verdict,
)
from partners.errors import MisconfiguredError, PartnerError
from partners.http import HttpClient
from partners.requirements import Option
from partners.vana import explorer, funds
from partners.vana.checks import check
from partners.vana.client import VanaClient
from partners.vana.options import OPTIONS, Settings, find_lack, parse
from partners.vana.proof import ProofRequest, TeeRun
from partners.vana.rebroadcast import look_at_signer
from partners.vana.refinement import Refinement
from partners.vana.registration import Keys, Registration
from partners.vana.reward import Reward
from partners.vana.rpc import Rpc
from partners.vana.signature import address_of
from partners.vana.transaction import Transaction
from partners.vana.withdrawal import Withdrawal

REGISTER = ("keys", "prepare_register", "sign_register", "send_register", "confirm_register")
PROVE = (
    "prepare_request_proof",
    "sign_request_proof",
    "send_request_proof",
    "confirm_request_proof",
    "run_proof",
    "await_proof",
)
REFINE = ("refine", "await_refine")
REWARD = ("prepare_reward", "sign_reward", "send_reward", "confirm_reward")
WITHDRAW = ("prepare_withdraw", "sign_withdraw", "send_withdraw", "confirm_withdraw")


class VanaPartner(Partner):
    """Registers the URL that Akave gave, has the file proved and refined, asks for the reward."""

    adapter: ClassVar[str] = "vana"
    label: ClassVar[str] = "Vana"
    requires: ClassVar[tuple[str, ...]] = ("akave",)
    options: ClassVar[tuple[Option, ...]] = OPTIONS
    steps: ClassVar[tuple[str, ...]] = (*REGISTER, *PROVE, *REFINE, *REWARD, "forget")
    revoke_steps: ClassVar[tuple[str, ...]] = WITHDRAW
    local_steps: ClassVar[frozenset[str]] = frozenset({"keys", "forget"})

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        super().__init__(name, config)
        lacking = find_lack(self.config)
        if lacking:
            raise MisconfiguredError(f"{name}: {lacking}")
        try:
            self._address = address_of(self.config["private_key"])
        except ValueError as error:
            raise MisconfiguredError(f"{name}: private_key: {error}") from None
        self.settings: Settings = parse(name, self._address, self.config)
        timeout_s = float(self.config["rpc_timeout_s"])
        self._node = HttpClient(partner=name, read_timeout_s=timeout_s, deadline_s=timeout_s, max_bytes=20_000_000)
        private = self.config["allow_private"] == "yes"
        self._tees = HttpClient(partner=name, deadline_s=self.timeout_s - 5, allow_private=private)
        self._services = HttpClient(partner=name, deadline_s=self.timeout_s - 5)
        places = {place: self.config[place] for place in ("registry", "tee_pool", "dlp")}
        rpc = Rpc(self._node, self.config["rpc_url"], name)
        self.client = VanaClient(rpc, partner=name, payer=self._address, **places)
        self._make_steps()

    def _make_steps(self) -> None:
        client, settings = self.client, self.settings
        self._keys = Keys(client, settings)
        self._registration = Registration(client, settings)
        self._register = Transaction(client, settings, self._registration)
        self._request = Transaction(client, settings, ProofRequest(client, settings))
        self._tee = TeeRun(client, settings, self._keys, self._tees)
        self._refinement = Refinement(client, settings, self._keys, self._services)
        self._reward = Transaction(client, settings, Reward(client, settings))
        self._withdrawal = Transaction(client, settings, Withdrawal(client, settings))

    @property
    def signer(self) -> str:
        """Return the address that pays for and signs every transaction."""
        return self._address

    def active_steps(self, kind: str) -> tuple[str, ...]:
        """Return the steps of the configured flow."""
        if kind == REVOKE:
            return self.revoke_steps
        wanted = self.settings
        prove, refine = PROVE if wanted.request_proof else (), REFINE if wanted.refine else ()
        return (*REGISTER, *prove, *refine, *(REWARD if wanted.reward else ()), "forget")

    def check(self) -> Sequence[str]:
        """Compare chain, contracts and balance with the configuration."""
        return tuple(self.probe())

    def probe(self) -> Iterator[str]:
        """Read what `check` compares, one thing after the other."""
        return check(self.client, self.settings, self._keys)

    def look_at_signer(self, unmined: Sequence[SignedTx]) -> SignerView:
        """Broadcast again what the node does not know, in nonce order."""
        return look_at_signer(self.client, self.settings, unmined)

    def read_signer(self) -> SignerReading:
        """Ask the node for the signer's balance and the price of gas."""
        return funds.read_signer(self.client, self._address)

    def look_at_funds(self) -> Funds:
        """Ask also what a registration costs today."""
        return funds.look_at_funds(self.client, self.settings)

    # the steps

    def keys(self, item: Item) -> StepResult:
        """Encrypt the record's key for everyone who shall read it."""
        return self._keys.draw(item)

    def prepare_register(self, item: Item) -> StepResult:
        """Look whether the URL is registered, and simulate what is missing."""
        return self._register.prepare(item)

    def sign_register_many(self, items: Sequence[Item], ledger: Ledger) -> ManyResult:
        """Sign the registrations."""
        return self._register.sign_many(items, ledger)

    def send_register(self, item: Item) -> StepResult:
        """Broadcast the registration."""
        return self._register.send(item)

    def confirm_register(self, item: Item) -> StepResult:
        """Wait until the registration is final, with every key in place."""
        return self._register.confirm(item)

    def prepare_request_proof(self, item: Item) -> StepResult:
        """Look for our proof request, and simulate one where there is none."""
        return self._request.prepare(item)

    def sign_request_proof_many(self, items: Sequence[Item], ledger: Ledger) -> ManyResult:
        """Sign the proof requests."""
        return self._request.sign_many(items, ledger)

    def send_request_proof(self, item: Item) -> StepResult:
        """Broadcast the proof request."""
        return self._request.send(item)

    def confirm_request_proof(self, item: Item) -> StepResult:
        """Wait until the proof request is final."""
        return self._request.confirm(item)

    def run_proof(self, item: Item) -> StepResult:
        """Tell the TEE to prove the file."""
        return self._tee.start(item)

    def await_proof(self, item: Item) -> StepResult:
        """Wait for the proof and find ours."""
        return self._tee.wait(item)

    def refine(self, item: Item) -> StepResult:
        """Ask the refinement service."""
        return self._refinement.start(item)

    def await_refine(self, item: Item) -> StepResult:
        """Wait until the refinement is on chain."""
        return self._refinement.wait(item)

    def prepare_reward(self, item: Item) -> StepResult:
        """Simulate the reward request, unless the file is rewarded."""
        return self._reward.prepare(item)

    def sign_reward_many(self, items: Sequence[Item], ledger: Ledger) -> ManyResult:
        """Sign the reward requests."""
        return self._reward.sign_many(items, ledger)

    def send_reward(self, item: Item) -> StepResult:
        """Broadcast the reward request."""
        return self._reward.send(item)

    def confirm_reward(self, item: Item) -> StepResult:
        """Wait until the reward is final."""
        return self._reward.confirm(item)

    def forget(self, item: Item) -> StepResult:
        """Destroy the secrets with which the keys were encrypted: nobody needs them any more."""
        return {"ecies": None, "remains": None, "blanked": None}

    def prepare_withdraw(self, item: Item) -> StepResult:
        """Look which keys are still on chain, and simulate blanking one."""
        return self._withdrawal.prepare(item)

    def sign_withdraw_many(self, items: Sequence[Item], ledger: Ledger) -> ManyResult:
        """Sign the blanking."""
        return self._withdrawal.sign_many(items, ledger)

    def send_withdraw(self, item: Item) -> StepResult:
        """Broadcast the blanking."""
        return self._withdrawal.send(item)

    def confirm_withdraw(self, item: Item) -> StepResult:
        """Wait until every key is blank."""
        return self._withdrawal.confirm(item)

    # what came of it

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return file id, transaction and block; proof, refinement and reward where there are."""
        shown = ("file_id", "tx_hash", "block", "proof", "refinement", "reward", "remains")
        return {name: item.saved[name] for name in shown if name in item.saved}

    @classmethod
    def find_links(cls, options: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Return the transactions in the block explorer."""
        return explorer.find_links(options, receipt)

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return transaction hash and file id."""
        return tuple((kind, str(item.saved[kind])) for kind in ("tx_hash", "file_id") if item.saved.get(kind))

    def verify(self, item: Item) -> Verdict:
        """Compare the chain with what we hold: id, owner, every key."""
        try:
            return self._registration.verify(item)
        except PartnerError as error:
            return Verdict(present=None, detail=error.message)

    def close(self) -> None:
        """Close all connections."""
        for http in (self._node, self._tees, self._services):
            http.close()
