"""Partners of the engine's tests that do what FakePartner does not; settings name them by their dotted path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from dataunion.models import DataUnion
from dataunion.models.expressions import MergeEntry
from partners.base import Item, Ledger, ManyResult, Rewind, Saved, SignedTx, SignerView
from partners.testing import FakePartner

HERE = "tests.dataunion.sync.adapters"


def partners_of(**classes: str) -> dict[str, Any]:
    """Return settings.PARTNERS: akave as FakePartner, and these."""
    rows = {"akave": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {}}}
    return rows | {name: {"BACKEND": f"{HERE}.{path}", "OPTIONS": {}} for name, path in classes.items()}


class NeedsAkave(FakePartner):
    """Wants akave's part of a record first, and notes what it was given of it."""

    requires = ("akave",)
    seen: ClassVar[list[Mapping[str, Any]]] = []

    def keys(self, item: Item) -> Saved:
        self.seen.append(item.required)
        return super().keys(item)


class Answers(FakePartner):
    """Its one step answers with what `answer` returns."""

    steps = ("keys",)
    answer: ClassVar[Callable[[Item], Any]]

    def keys(self, item: Item) -> Any:
        return type(self).answer(item)

    def receipt(self, item: Item) -> Mapping[str, Any]:
        return {"got": item.saved.get("got")}

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        return ()


class BadReceipt(FakePartner):
    """Its receipt is no JSON."""

    def receipt(self, item: Item) -> Mapping[str, Any]:
        return {"at": object()}


class OddRefs(FakePartner):
    """Gives one record a reference that is no text."""

    odd: ClassVar[tuple[str, str]]

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        return [("odd", self.odd[1])] if item.record_id == self.odd[0] else []


class Rewinds(FakePartner):
    """Its last step goes back to the first, once."""

    def confirm(self, item: Item) -> Any:
        super().confirm(item)
        if item.saved.get("round") == 2:
            return {}
        return Rewind(step="keys", changes={"round": 2, "id": None}, after_s=30.0)


class Many(FakePartner):
    """Answers for the whole chunk in one call."""

    steps = ("keys", "count")
    chunks: ClassVar[list[int]] = []
    answers: ClassVar[Callable[[Sequence[Item]], ManyResult]] = lambda items: {i.record_id: {"id": "x"} for i in items}

    def count_many(self, items: Sequence[Item], ledger: Ledger | None) -> ManyResult:
        self.chunks.append(len(items))
        assert ledger is None
        return type(self).answers(items)


class Breaks(FakePartner):
    """Breaks outside its steps."""

    def active_steps(self, kind: str) -> tuple[str, ...]:
        raise RuntimeError("a bug of the adapter")


class NoWayBack(FakePartner):
    """Cannot take a record back."""

    revoke_steps = ()


class Checked(FakePartner):
    """Its configuration is asked for; `problem` is what comes out."""

    problem: ClassVar[Exception | None] = None
    checks: ClassVar[list[str]] = []

    def check(self) -> Sequence[str]:
        self.checks.append(self.config["greeting"])
        if self.problem:
            raise self.problem
        return ("all is well",)


class Signs(FakePartner):
    """Signs a transaction for each record."""

    steps = ("keys", "sign")
    options = ()
    problem: ClassVar[Exception | None] = None
    looked_at: ClassVar[list[list[int]]] = []

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        super().__init__(name, config)
        self.config = {"chain_id": "5", "max_unmined": "16"}

    @property
    def signer(self) -> str:
        return "0x" + "ab" * 20

    def look_at_signer(self, unmined: Sequence[SignedTx]) -> SignerView:
        self.looked_at.append([tx.nonce for tx in unmined])
        if self.problem:
            raise self.problem
        return SignerView(mined=0, pending=0)

    def sign_many(self, items: Sequence[Item], ledger: Ledger) -> ManyResult:
        results = {}
        for item in items:
            tx = ledger.sign(item, "sign", 0, lambda n: SignedTx(nonce=n, tx_hash=f"0x{n}", raw=b"raw"))
            results[item.record_id] = {"id": tx.tx_hash}
        return results


def refuse(record: Any, partner: str) -> str | None:
    """Be a gate that lets nothing go to akave."""
    return "The person withdrew the consent." if partner == "akave" else None


def refuse_one(record: Any, partner: str) -> str | None:
    """Be a gate that lets one record go nowhere."""
    return "This person withdrew the consent." if record.data_id == "withdrawn" else None


def allow(record: Any, partner: str) -> str | None:
    """Be a gate that says nothing."""
    return None


def break_down(record: Any, partner: str) -> str | None:
    """Be a gate with a bug."""
    raise RuntimeError(f"cannot judge {record.user_hash}")


def meet_requirements(record: Any, partner: str) -> str | None:
    """Be a gate during whose thinking every record becomes synced with akave."""
    DataUnion.objects.update(partners=MergeEntry("akave", {"is_synced": True}))
    return None
