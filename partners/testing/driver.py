# ruff: noqa: S101 - what a partner returns is judged here
"""Takes items through a partner's steps as the engine does, without database or broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from partners.base import Item, Ledger, Partner, Rewind, Saved, SignedTx, StepResult
from partners.errors import NotReady, PartnerError, TransientError, UnknownOutcome

POLL_S = 0.02


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
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda item: _answer(partner, step, item), seen))


def _answer(partner: Partner, step: str, item: Item) -> StepResult | Exception:
    try:
        answer: StepResult = getattr(partner, step)(item)
    except Exception as error:
        return error
    return answer


Ask = Callable[[Partner, str, Sequence[Item], Ledger | None], Sequence[StepResult | Exception]]


@dataclass
class Job:
    """One item on its way through the steps; `step` is empty once all are done."""

    item: Item
    steps: tuple[str, ...]
    attempts: int
    step: str = ""
    waits_for: PartnerError | None = None

    def __post_init__(self) -> None:
        self.step = self.step or self.steps[0]

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
            self.step = dict(pairwise((*self.steps, "")))[self.step]


def run_chunk(
    partner: Partner,
    items: Sequence[Item],
    ledger: Ledger | None = None,
    *,
    attempts: int = 1,
    deadline_s: float = 30.0,
    wait: Callable[[float], None] = time.sleep,
    ask: Ask = ask,
) -> list[Item]:
    """Take items through the partner's steps until all are done, as the engine would; return them with what is saved.

    An item ends at its `attempts`-th transient error; `wait` is called between polls. Raises the first error that
    ends an item, or what an item was waiting for when `deadline_s` is over.
    """
    deadline = time.monotonic() + deadline_s
    jobs = [Job(item=item, steps=partner.active_steps(item.kind), attempts=attempts) for item in items]
    while todo := [job for job in jobs if job.step]:
        chunk = [job for job in todo if job.step == todo[0].step]
        answers = ask(partner, chunk[0].step, [job.item for job in chunk], ledger)
        for job, answer in zip(chunk, answers, strict=True):
            job.take(answer)
        waiting = [job.waits_for for job in chunk if job.waits_for]
        if time.monotonic() > deadline:
            raise waiting[0] if waiting else TimeoutError(f"still at step {chunk[0].step} after {deadline_s} s")
        if waiting:
            wait(POLL_S)
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
        """Return the stored transaction of this place, or store what `build` makes of the next nonce."""
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
        rows.append(replace(build(rows[0].nonce), earlier=tuple(tx.tx_hash for tx in rows)))
        return rows[-1]
