"""I5 and I10 in our own rows: attempts without gaps, as many as are told of, and everything bounded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from dataunion.conf import conf
from dataunion.state import Outcome
from partners.base import PUSH
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation

MAX_CRASHES = 2
MAX_MESSAGE_CHARS, MAX_OUTCOME_BYTES, MAX_SAVED_BYTES = 2100, 16_000, 64_000


def check_attempts(world: World, at_rest: bool, told: Collection[tuple[Any, str]]) -> Iterator[Violation]:
    """Yield what breaks I5 in the rows."""
    spoken_of = {(str(record), partner) for record, partner in told}
    for side in world.sides.values():
        found = [*_numbers(world, side), *_fences(side)]
        if at_rest:
            found += _totals(side)
        if side.is_synced and side.job is None and (str(side.record.pk), side.partner.name) not in spoken_of:
            found += _evidence_of_sync(side)
        yield from (Violation("I5", f"{side}: {what}") for what in found)
    for attempt in world.lost_attempts if at_rest else ():
        yield Violation("I5", f"{attempt.partner} {attempt.record_id}: attempt {attempt.number} of nobody's record")


def _numbers(world: World, side: Side) -> Iterator[str]:
    numbers = [attempt.number for attempt in side.attempts]
    if not numbers:
        return
    pruned = side.record.created_at < world.now - timedelta(days=conf().attempts_keep_days)
    first = numbers[0] if pruned else 1
    if numbers != list(range(first, first + len(numbers))):
        yield f"attempts are numbered {numbers}"


def _fences(side: Side) -> Iterator[str]:
    for one, other in pairwise(side.attempts):
        if other.fence <= one.fence:
            yield f"attempt {other.number} has fence {other.fence}, attempt {one.number} before it {one.fence}"
    highest = max(side.entry.fence, side.job.fence if side.job else 0)
    if side.attempts and side.attempts[-1].fence > highest:
        yield f"an attempt has fence {side.attempts[-1].fence}, above that of entry and job, {highest}"


def _totals(side: Side) -> Iterator[str]:
    recorded = side.attempts[-1].number if side.attempts else 0
    if side.entry.attempts != recorded:
        yield f"the entry tells of {side.entry.attempts} attempts, {recorded} are recorded"
    if side.job is not None and side.job.runs != recorded:
        yield f"the job tells of {side.job.runs} attempts, {recorded} are recorded"


def _evidence_of_sync(side: Side) -> Iterator[str]:
    if not any(attempt.outcome == Outcome.SYNCED and attempt.kind == PUSH for attempt in side.attempts):
        yield "synced, and no attempt says so"


def check_bounds(world: World) -> Iterator[Violation]:
    """Yield what breaks I10 in the rows."""
    for side in world.sides.values():
        found = [*_budget(side), *_crashes(side), *_sizes(side)]
        yield from (Violation("I10", f"{side}: {what}") for what in found)


def _budget(side: Side) -> Iterator[str]:
    job, limit = side.job, side.partner.max_attempts
    if job is not None and job.attempts > limit:
        yield f"{job.attempts} attempts were spent of {limit}"


def _crashes(side: Side) -> Iterator[str]:
    if side.job is not None and side.job.crashes > MAX_CRASHES:
        yield f"{side.job.crashes} crashes were counted, {MAX_CRASHES} are poison"
    in_a_row = 0
    for before, attempt in pairwise([None, *side.attempts]):
        same = before is not None and (before.step, before.trigger) == (attempt.step, attempt.trigger)
        in_a_row = 0 if attempt.outcome != Outcome.CRASHED else in_a_row + 1 if same else 1
        if in_a_row == MAX_CRASHES + 1:
            yield f"more than {MAX_CRASHES} workers died of it at step {attempt.step!r}"


def _sizes(side: Side) -> Iterator[str]:
    job = side.job
    messages = [attempt.error_message for attempt in side.attempts] + [side.entry.error_message or ""]
    sizes = {"an error message": (max(map(len, messages)), MAX_MESSAGE_CHARS)}
    if job is not None:
        outcome = json.dumps(job.outcome, default=str)
        sizes["the outcome"] = (len(outcome), MAX_OUTCOME_BYTES)
        sizes["what is saved"] = (len(bytes(job.saved or b"")), MAX_SAVED_BYTES)
    sizes["retry_data"] = (len(side.entry.retry_data or ""), 2 * MAX_SAVED_BYTES)
    for name, (size, limit) in sizes.items():
        if size > limit:
            yield f"{name} has {size} bytes, {limit} are allowed"
