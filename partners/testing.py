# ruff: noqa: S101 - this file is part of the tests of every adapter
"""What adapters and the engine are tested with: a driver, a ledger, a fake partner, and the suite each adapter inherits.

Importable without pytest. A new adapter's tests subclass `PartnerContract` and fill in its hooks.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from unittest import SkipTest

from partners.base import PUSH, REVOKE, Item, Ledger, Partner, Rewind, Saved, SignedTx, StepResult, Verdict
from partners.errors import MisconfiguredError, NotReady, PartnerError, TransientError, UnknownOutcome
from partners.requirements import Option, Secret


def merged(saved: Saved, changes: Saved) -> dict[str, Any]:
    """Return `saved` with `changes` as the engine stores it: through JSON, keys that are None removed."""
    both = {name: value for name, value in {**saved, **changes}.items() if value is not None}
    stored: dict[str, Any] = json.loads(json.dumps(both))
    assert stored == both, "what a step returns must be plain JSON: str keys, no tuples, no dates"
    return stored


def ask(
    partner: Partner, step: str, items: Sequence[Item], ledger: Ledger | None = None
) -> list[StepResult | Exception]:
    """Run one step for several items as the engine does: `_many` in this thread, else each item in a thread."""
    seen = [item if step in partner.payload_steps else replace(item, payload=None) for item in items]
    many = getattr(partner, f"{step}_many", None)
    if many:
        found = many(seen, ledger)
        return [found[item.record_id] for item in items]

    def one(item: Item) -> StepResult | Exception:
        try:
            answer: StepResult = getattr(partner, step)(item)
        except Exception as error:
            return error
        return answer

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(one, seen))


@dataclass
class Job:
    """One item on its way through the steps; `step` is None once done."""

    item: Item
    steps: tuple[str, ...]
    step: str | None
    attempts: int
    waits_for: PartnerError | None = None

    def take(self, answer: StepResult | Exception) -> None:
        """Go on, back, or wait, as the answer says; raise what ends the job."""
        self.waits_for = None
        if isinstance(answer, Exception):
            self.attempts -= isinstance(answer, TransientError)
            if not isinstance(answer, NotReady | UnknownOutcome | TransientError) or self.attempts <= 0:
                raise answer
            self.waits_for = answer
        elif isinstance(answer, Rewind):
            self.item = replace(self.item, saved=merged(self.item.saved, answer.changes))
            self.step = answer.step
        else:
            self.item = replace(self.item, saved=merged(self.item.saved, answer))
            later = self.steps[self.steps.index(self.step or "") + 1 :]
            self.step = later[0] if later else None


def run_chunk(
    partner: Partner,
    items: Sequence[Item],
    ledger: Ledger | None = None,
    *,
    start: str | None = None,
    attempts: int = 1,
    deadline_s: float = 30.0,
    wait: Callable[[float], None] = time.sleep,
) -> list[Item]:
    """Take items through the partner's steps until all are done, as the engine would; return them with what is saved.

    `attempts` is how many transient errors end an item; `wait` is called between polls. Raises the first error that
    ends an item, or what an item was waiting for when `deadline_s` is over.
    """
    deadline = time.monotonic() + deadline_s
    jobs = []
    for item in items:
        steps = partner.active_steps(item.kind)
        jobs.append(Job(item=item, steps=steps, step=start or steps[0], attempts=attempts))
    while todo := [job for job in jobs if job.step]:
        chunk = [job for job in todo if job.step == todo[0].step]
        for job, answer in zip(chunk, ask(partner, str(chunk[0].step), [j.item for j in chunk], ledger), strict=True):
            job.take(answer)
        waiting = [job.waits_for for job in chunk if job.waits_for]
        if waiting and time.monotonic() > deadline:
            raise waiting[0]
        if waiting:
            wait(0.02)
    return [job.item for job in jobs]


def run_steps(partner: Partner, item: Item, ledger: Ledger | None = None, **options: Any) -> Item:
    """Take one item through all steps; options as for `run_chunk`."""
    return run_chunk(partner, [item], ledger, **options)[0]


class MemoryLedger:
    """A Ledger without a database. `mined` is how many of the signer's transactions the chain holds."""

    def __init__(self, first_nonce: int = 0, max_unmined: int = 16) -> None:
        self._next = first_nonce
        self._max_unmined = max_unmined
        self._rows: dict[tuple[str, str, int], list[SignedTx]] = {}
        self.mined = first_nonce

    @property
    def unmined(self) -> list[SignedTx]:
        """The newest transaction of each nonce that is not mined, in nonce order."""
        newest = {rows[-1].nonce: rows[-1] for rows in self._rows.values() if rows[-1].nonce >= self.mined}
        return [newest[nonce] for nonce in sorted(newest)]

    def sign(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Return the stored transaction of (record, step, generation), or store what `build` makes of the next nonce."""
        place = (item.record_id, step, generation)
        if place not in self._rows:
            if len(self.unmined) >= self._max_unmined:
                raise NotReady(f"{item.partner}: {step}: {self._max_unmined} transactions are on their way", after_s=2)
            self._rows[place] = [build(self._next)]
            self._next += 1
        return self._rows[place][-1]

    def find(self, item: Item, step: str) -> Sequence[SignedTx]:
        """Return every transaction of this record and step, oldest first."""
        places = sorted(place for place in self._rows if place[:2] == (item.record_id, step))
        return [tx for place in places for tx in self._rows[place]]

    def replace(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Sign again at the nonce of (record, step, generation)."""
        rows = self._rows[item.record_id, step, generation]
        rows.append(build(rows[0].nonce))
        return rows[-1]


@dataclass
class FakeService:
    """What a FakePartner's partner holds and was asked, and what it will do next; shared by all instances of a name."""

    objects: dict[str, bytes] = field(default_factory=dict)  # by once_id of the push
    calls: list[tuple[str, str]] = field(default_factory=list)  # (step, record id), in order
    _plans: dict[tuple[str, str], deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, step: str, *acts: Exception | Callable[[Item], Any], when: str = "before") -> None:
        """Let the next calls of `step` raise, or call, one of `acts` each, "before" or "after" its effect."""
        self._plans[step, when].extend(acts)

    def act(self, step: str, when: str, item: Item) -> None:
        """Commit what was planned for this moment, if anything."""
        with self._lock:
            plan = self._plans[step, when]
            act = plan.popleft() if plan else None
        if isinstance(act, Exception):
            raise act
        if act:
            act(item)

    def called(self, step: str) -> int:
        """Return how often a step was run."""
        return sum(name == step for name, _ in self.calls)


class FakePartner(Partner):
    """A partner in memory, for tests of the engine: `FakePartner.service(name)` is what it talks to."""

    adapter: ClassVar[str] = "fake"
    label: ClassVar[str] = "Fake"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="greeting", holds="any text", default="hello"),
        Secret(name="token", holds="any text", default="fake-token"),
    )
    steps: ClassVar[tuple[str, ...]] = ("keys", "store", "confirm")
    revoke_steps: ClassVar[tuple[str, ...]] = ("remove",)
    payload_steps: ClassVar[frozenset[str]] = frozenset({"store"})
    _services: ClassVar[dict[str, FakeService]] = {}

    @classmethod
    def service(cls, name: str) -> FakeService:
        """Return the service behind the partner of this name; the same one until `reset`."""
        return cls._services.setdefault(name, FakeService())

    @classmethod
    def reset(cls) -> None:
        """Forget every service."""
        cls._services.clear()

    def keys(self, item: Item) -> Saved:
        """Make up a name and a secret."""
        return self._do("keys", item, lambda: {"secret": f"secret-of-{item.record_id}"})

    def store(self, item: Item) -> Saved:
        """Store the payload under the item's once_id."""
        if item.payload is None:
            raise ValueError("store needs the payload")
        payload = item.payload

        def put() -> Saved:
            self.service(self.name).objects[item.once_id] = payload
            return {"id": item.once_id, "size": len(payload)}

        return self._do("store", item, put)

    def confirm(self, item: Item) -> Saved:
        """Agree to everything."""
        return self._do("confirm", item, dict)

    def remove(self, item: Item) -> Saved:
        """Forget the object."""

        def drop() -> Saved:
            self.service(self.name).objects.pop(str(item.saved.get("id")), None)
            return {"secret": None}

        return self._do("remove", item, drop)

    def _do(self, step: str, item: Item, effect: Callable[[], Saved]) -> Saved:
        service = self.service(self.name)
        service.calls.append((step, item.record_id))
        service.act(step, "before", item)
        result = effect()
        service.act(step, "after", item)
        return result

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return {"id"}."""
        return {"id": item.saved["id"]}

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return the object's id."""
        return (("fake_id", item.saved["id"]),)

    def verify(self, item: Item) -> Verdict:
        """Look whether the object is there."""
        present = item.saved.get("id") in self.service(self.name).objects
        return Verdict(present=present, detail="the object is there" if present else "the object is gone")


class PartnerContract:
    """What every adapter must keep. Subclass it as `TestXContract` and fill in the hooks.

    `secret_saved` names what is saved and must never be shown. `faults` lists what `break_next` can do: "unavailable"
    (the partner answers that it cannot, nothing has happened), "lost_response" (it did as asked, its answer is lost).
    """

    secret_saved: ClassVar[frozenset[str]] = frozenset()
    faults: ClassVar[tuple[str, ...]] = ("unavailable", "lost_response")
    effects_after_revoke: ClassVar[int] = 0

    def make_partner(self) -> Partner:
        """Return an adapter configured for the sandbox."""
        raise NotImplementedError

    def make_item(self, number: int = 0) -> Item:
        """Return a fresh item with a payload; another `number`, another record."""
        raise NotImplementedError

    def remote_effects(self) -> int:
        """Count the logical things that the partner now holds for our items: objects, registrations, deliveries."""
        raise NotImplementedError

    def break_next(self, kind: str) -> None:
        """Let the partner misbehave once, at the next request that has an effect."""
        raise NotImplementedError

    def make_ledger(self, partner: Partner) -> Ledger | None:
        """Return a ledger for partners that sign transactions."""
        return None

    def wait(self, after_s: float) -> None:
        """Let a little time pass at the partner between polls: mine a block, say."""
        time.sleep(after_s)

    def _run(self, partner: Partner, *items: Item, ledger: Ledger | None = None, **options: Any) -> list[Item]:
        ledger = ledger or self.make_ledger(partner)
        return run_chunk(partner, items, ledger, wait=self.wait, **options)

    def _broken(self, kind: str) -> None:
        if kind not in self.faults:
            raise SkipTest(f"this partner's sandbox has no fault {kind!r}")
        self.break_next(kind)

    def _secrets(self, partner: Partner, item: Item) -> list[str]:
        config = [partner.config[option.name] for option in partner.options if option.secret]
        return [
            secret for secret in (*config, *(str(item.saved.get(name, "")) for name in self.secret_saved)) if secret
        ]

    def test_its_names_and_steps_are_declared(self) -> None:
        partner = self.make_partner()
        steps = (*partner.steps, *partner.revoke_steps)

        assert partner.adapter.isidentifier() and partner.label
        assert partner.steps and len(set(steps)) == len(steps)
        assert partner.payload_steps <= set(steps)
        assert set(partner.active_steps(PUSH)) <= set(partner.steps)
        assert not [s for s in steps if not hasattr(partner, s) and not hasattr(partner, f"{s}_many")]

    def test_its_configuration_is_checked_in_sentences(self) -> None:
        checked = self.make_partner().check()

        assert all(isinstance(sentence, str) and sentence for sentence in checked)

    def test_an_unknown_option_is_refused_by_name(self) -> None:
        partner = self.make_partner()

        message = _refusal(type(partner), {**partner.config, "no_such_option": "1"})

        assert "no_such_option is not an option" in message

    def test_a_missing_option_is_refused_by_name(self) -> None:
        partner = self.make_partner()

        for option in partner.options:
            if option.required and option.default is None:
                rest = {name: value for name, value in partner.config.items() if name != option.name}
                assert f"{option.name} is not set; it should hold" in _refusal(type(partner), rest)

    def test_its_steps_lead_to_done_with_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()

        (done,) = self._run(partner, self.make_item())

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_its_receipt_is_plain_json_without_secrets(self) -> None:
        partner = self.make_partner()
        (done,) = self._run(partner, self.make_item())

        shown = json.dumps([dict(partner.receipt(done)), [list(ref) for ref in partner.refs(done)]])

        assert json.loads(shown)[0] == partner.receipt(done)
        assert self.secret_saved <= set(done.saved)
        assert not [secret for secret in self._secrets(partner, done) if secret in shown]

    def test_each_step_run_twice_has_one_effect(self) -> None:
        self._run_with_each_step_doubled(saved_between=True)

    def test_a_crash_before_any_save_leaves_one_effect(self) -> None:
        self._run_with_each_step_doubled(saved_between=False)

    def _run_with_each_step_doubled(self, *, saved_between: bool) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        ledger, item = self.make_ledger(partner), self.make_item()
        steps = partner.active_steps(PUSH)

        for step in steps:
            once = _one_step(partner, item, step, ledger, self.wait)
            item = _one_step(partner, once if saved_between else item, step, ledger, self.wait)

        assert self.remote_effects() == before + 1
        assert partner.verify(item).present in (True, None)

    def test_a_lost_response_leaves_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        self._broken("lost_response")

        (done,) = self._run(partner, self.make_item(), attempts=5)

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_an_unavailable_partner_is_tried_again_with_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        self._broken("unavailable")

        self._run(partner, self.make_item(), attempts=5)

        assert self.remote_effects() == before + 1

    def test_its_messages_hold_neither_payload_nor_secrets(self) -> None:
        partner, item = self.make_partner(), self.make_item()
        told: list[Exception] = []

        for kind in self.faults:
            self._broken(kind)
            item = _run_telling(partner, item, self.make_ledger(partner), self.wait, told)

        assert all(isinstance(error, PartnerError) for error in told), told
        text = " ".join(str(error) for error in told)
        assert (item.payload or b"").decode(errors="replace") not in text
        assert not [secret for secret in self._secrets(partner, item) if secret in text]
        assert all(str(error).startswith(partner.name) for error in told), text

    def test_items_of_one_chunk_do_not_mix(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        items = [self.make_item(number) for number in range(5)]

        done = self._run(partner, *items)

        assert self.remote_effects() == before + 5
        assert len({json.dumps(partner.receipt(item), sort_keys=True) for item in done}) == 5
        assert {partner.verify(item).present for item in done} <= {True, None}

    def test_taking_back_leaves_nothing_and_may_be_repeated(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        if not partner.revoke_steps:
            raise SkipTest("this partner cannot take back")
        (done,) = self._run(partner, self.make_item())

        (gone,) = self._run(partner, replace(done, kind=REVOKE, payload=None))
        (again,) = self._run(partner, replace(gone, kind=REVOKE))

        assert self.remote_effects() == before + self.effects_after_revoke
        assert not self.secret_saved & set(again.saved)
        assert partner.verify(again).present in (bool(self.effects_after_revoke), None)


def _refusal(kind: type[Partner], config: Mapping[str, Any]) -> str:
    try:
        kind("contract", config)
    except MisconfiguredError as error:
        return error.message
    raise AssertionError("this configuration must be refused")


def _one_step(
    partner: Partner, item: Item, step: str, ledger: Ledger | None, wait: Callable[[float], None], polls: int = 500
) -> Item:
    """Run one step to its result, polling while it is not ready, and return the item with it saved."""
    for _ in range(polls):
        (answer,) = ask(partner, step, [item], ledger)
        if not isinstance(answer, NotReady | UnknownOutcome):
            job = Job(item=item, steps=(step,), step=step, attempts=1)
            job.take(answer)
            return job.item
        wait(0.02)
    raise AssertionError(f"{step} was not ready after {polls} polls")


def _run_telling(
    partner: Partner, item: Item, ledger: Ledger | None, wait: Callable[[float], None], told: list[Exception]
) -> Item:
    """Run all steps and add every error on the way to `told`."""
    for step in partner.active_steps(item.kind):
        for _ in range(500):
            (answer,) = ask(partner, step, [item], ledger)
            if not isinstance(answer, Exception):
                job = Job(item=item, steps=(step,), step=step, attempts=1)
                job.take(answer)
                item = job.item
                break
            told.append(answer)
            wait(0.02)
    return item
