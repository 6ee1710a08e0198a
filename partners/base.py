"""The contract between the engine and a partner's adapter. Read this file to write a new partner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from partners.errors import MisconfiguredError
from partners.requirements import Option, problems, resolve

PUSH, REVOKE = "push", "revoke"
Saved = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who owns the record on chain; `public_key` is 65 bytes as hex (04…), or empty when unknown."""

    address: str
    public_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Required:
    """What a required partner has given back: `entry` is what its entry shows, `retry_data` its step results."""

    entry: Saved
    retry_data: Saved


@dataclass(frozen=True, kw_only=True)
class Item:
    """One record on its way to one partner, as a step sees it. Immutable."""

    record_id: str
    partner: str
    user_hash: str
    data_type: str
    data_id: str
    kind: str = PUSH
    payload: bytes | None = None  # None for steps that declare they need none
    schema_name: str = ""
    recorded_at: datetime | None = None
    owner: Owner | None = None
    saved: Saved = field(default_factory=dict)  # results of the finished steps of this job
    required: Mapping[str, Required] = field(default_factory=dict)

    @property
    def once_id(self) -> str:
        """Return a digest that is the same at every attempt: 64 hex characters over record, partner and kind."""
        return hashlib.sha256(f"{self.record_id}|{self.partner}|{self.kind}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Rewind:
    """A step's answer that sends the job back: merge `changes` into saved and go on at step `step`."""

    step: str
    changes: Saved = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `verify` found. `present` is None when the partner could not be asked."""

    present: bool | None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class SignerReading:
    """What our signer has, in the chain's coin, and what a unit of gas costs now."""

    address: str
    balance: float
    price_gwei: float


@dataclass(frozen=True, kw_only=True)
class Funds:
    """What the signer has and a record costs today, in the chain's coin, and the most that a unit of gas may cost."""

    signer: SignerReading
    per_record: float
    max_price_gwei: float
    warn_days: float

    @property
    def records_left(self) -> int:
        """Return for how many records the balance lasts."""
        return int(self.signer.balance / self.per_record) if self.per_record else 0

    @property
    def is_too_dear(self) -> bool:
        """Say whether nothing is signed now, since gas costs more than is allowed."""
        return self.signer.price_gwei > self.max_price_gwei


@dataclass(frozen=True, kw_only=True)
class SignedTx:
    """A signed transaction: `raw` is what is broadcast, `tx_hash` is 0x + 64 hex.

    `earlier`: the hashes of what was signed at this nonce before, oldest first, where the book gave it.
    """

    nonce: int
    tx_hash: str
    raw: bytes
    earlier: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class SignerView:
    """What the chain says of our signer: `mined` transactions (latest), and `pending` ones the node knows.

    `instead`: what is to be sent from now on at nonces whose transaction the node refuses, so that later ones may pass.
    """

    mined: int
    pending: int
    instead: tuple[SignedTx, ...] = ()


class Ledger(Protocol):
    """The signer's book of transactions, kept in the database. Called from the task's own thread only.

    Only a holder of the signer's lease gets one. Inserting a row is the allocation of its nonce.
    """

    def sign(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Return the transaction of (record, step, generation): the stored one, or `build(nonce)` stored first.

        Raises NotReady when `max_unmined` transactions of this signer are on their way.
        """
        ...

    def find(self, item: Item, step: str) -> Sequence[SignedTx]:
        """Return every transaction ever signed for this record and step, oldest first."""
        ...

    def replace(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Sign again at the same nonce (higher fees); both hashes stay on file. Returns the new one."""
        ...


StepResult = Saved | Rewind
ManyResult = Mapping[str, "StepResult | Exception"]  # by record_id


class Partner:
    """One partner's adapter: a list of named steps, each idempotent or asking before it repeats.

    A step `x` is a method `x(item) -> dict`, run in a thread; what it returns is merged into `item.saved` and stored
    (sealed) before the next step begins; a key whose value is None is removed. A method `x_many(items, ledger)` is
    run instead where it exists: the whole chunk, in the task's own thread, database through the ledger, no network.
    After a crash between a step's effect and its save the step runs again.

    Steps raise the errors of `partners.errors`; they never block to wait: they raise NotReady. Instances are shared
    by threads, and live as long as their configuration does. Each instance has its own `name`, since several rows
    (webhooks) may use one adapter.
    """

    adapter: ClassVar[str]  # folder name; the queue is sync.<adapter>
    label: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()  # partners whose entry must be synced first
    options: ClassVar[tuple[Option, ...]] = ()
    steps: ClassVar[tuple[str, ...]]
    revoke_steps: ClassVar[tuple[str, ...]] = ()
    name_keys: ClassVar[tuple[str, ...]] = ()  # saved keys that name the remote object; without them it is named anew
    payload_steps: ClassVar[frozenset[str]] = frozenset()  # steps that get item.payload; the others get None
    local_steps: ClassVar[frozenset[str]] = frozenset()  # steps that ask the partner nothing: no sign that it lives
    timeout_s: ClassVar[float] = 30.0  # longest a single step may take; the lease must be longer

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        wrong = problems(self.options, config)
        if wrong:
            listed = "; ".join(f"{option} {problem}" for option, problem in sorted(wrong.items()))
            raise MisconfiguredError(f"{name}: {listed}")
        self.name = name
        self.config = resolve(self.options, config)

    @property
    def signer(self) -> str | None:
        """Return the address whose lease a worker must hold to work on this partner, or None."""
        return None

    def check(self) -> Sequence[str]:
        """Ask the partner whether the configuration really works; return what was checked, a sentence each.

        Raises MisconfiguredError when it is wrong, TransientError when the partner cannot be reached.
        """
        return ()

    def probe(self) -> Iterator[str]:
        """Try a real round trip; yield a sentence for each step that worked. Raises as `check` does."""
        yield from self.check()

    def look_at_signer(self, unmined: Sequence[SignedTx]) -> SignerView:
        """Broadcast again what the node does not know of `unmined` (nonce order); say where the chain stands.

        What it puts `instead` of a refused transaction is stored before it is sent: with the next look.
        """
        raise NotImplementedError

    def read_signer(self) -> SignerReading | None:
        """Ask the chain what our signer has; None for a partner without one. Raises PartnerError."""
        return None

    def look_at_funds(self) -> Funds | None:
        """Ask also what a record costs; None where there is no signer. Raises PartnerError."""
        return None

    @classmethod
    def capabilities(cls) -> Mapping[str, bool]:
        """Return what the adapter can do, as it declares and overrides it."""

        def has(name: str) -> bool:
            return getattr(cls, name) is not getattr(Partner, name)

        return {
            "push": bool(cls.steps),
            "revoke": bool(cls.revoke_steps),
            "verify": has("verify"),
            "check": has("check"),
            "refs": has("refs"),
            "sign": has("signer"),
        }

    def active_steps(self, kind: str) -> tuple[str, ...]:
        """Return the steps that this configuration asks for."""
        return self.steps if kind == PUSH else self.revoke_steps

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return what the record's entry shows once synced; plain JSON, nothing secret."""
        return {}

    @classmethod
    def find_links(cls, options: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Return (words, URL) of where people can look at a synced record, by its receipt. Asks nobody.

        `options` are those that are no secrets; what a receipt holds may be of an older version.
        """
        return ()

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return (kind, value) pairs by which staff can search: ("object_key", …), ("tx_hash", …)."""
        return ()

    def verify(self, item: Item) -> Verdict:
        """Ask the partner whether the record is really there, byte for byte."""
        return Verdict(present=None, detail="this partner cannot be asked")

    def close(self) -> None:
        """Let go of connections; called once when the configuration changed."""
