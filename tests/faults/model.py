"""What every move does to one record and one partner, by a model of its own: pure, and knowing no table.

A move is the list of the stages that a pair goes through, write by write. The last is where it ends; where there are
no transactions a crash may leave it at any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
POISON = 2
STEPS = ("keys", "store", "confirm", "finished")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job's row says that is still to be told to the record."""

    is_synced: bool
    has_error: bool = False
    number: int | None = None  # of the attempt, if it was one


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One record and one partner: its job (no status: there is none), its entry, its attempts as (fence, number)."""

    status: str | None = None
    step: str = ""
    fence: int = 0
    token: str = ""
    is_held: bool = False
    outcome: Outcome | None = None
    attempts: int = 0
    runs: int = 0
    crashes: int = 0
    saved: int | None = None
    has_error: bool = False

    has_record: bool = True
    is_synced: bool = False
    entry_fence: int = 0
    entry_runs: int = 0
    entry_error: bool = False
    kept: int | None = None
    history: tuple[tuple[int, int], ...] = ()

    due_at: datetime = field(default=NEVER, compare=False)
    lease_until: datetime = field(default=NEVER, compare=False)
    changed_at: datetime = field(default=NEVER, compare=False)

    def is_claimable(self, now: datetime) -> bool:
        """Say whether a worker may take it."""
        return self.status in ("pending", "retrying") and not self.is_held and self.due_at <= now

    def is_abandoned(self, now: datetime) -> bool:
        """Say whether whoever held it has been silent for too long."""
        return self.is_held and self.lease_until <= now

    def is_at_work(self, token: str) -> bool:
        """Say whether the worker with this token may still say anything."""
        return self.status == "running" and self.token == token


Stages = list[Pair]


def last(pair: Pair, stages: Stages) -> Pair:
    """Return where a move ends that began at `pair`."""
    return stages[-1] if stages else pair


def claim(pair: Pair, token: str) -> Stages:
    """Take it into hand."""
    return [replace(pair, status="running", token=token, is_held=True, fence=pair.fence + 1)]


def save(pair: Pair, step: str, saved: int | None) -> Stages:
    """Store a step's result."""
    return [replace(pair, step=step, saved=saved, crashes=0)]


def rewind(pair: Pair, step: str, saved: int | None) -> Stages:
    """Store a result and go back to a step."""
    return [replace(pair, status="pending", step=step, saved=saved, crashes=0, token="", is_held=False)]


def let_go(pair: Pair) -> Stages:
    """Put it back as if it had not been claimed; a wait ends so, too."""
    return [replace(pair, status="pending", token="", is_held=False)]


_ENDS = {"done": "done", "retry": "retrying", "give_up": "failed", "block": "blocked"}


def settle(pair: Pair, ending: str) -> Stages:
    """End the work: done, retry, give_up, block, or snooze."""
    if ending == "snooze":
        return let_go(pair)
    done, number = ending == "done", pair.runs + 1
    ended = replace(
        pair,
        status=_ENDS[ending],
        token="",
        is_held=True,
        runs=number,
        attempts=pair.attempts + (ending in ("retry", "give_up")),
        has_error=not done,
        outcome=Outcome(is_synced=done, has_error=not done, number=number),
    )
    return [ended, *publish(ended)]


def rescue(pair: Pair, now: datetime) -> Stages:
    """Take it from whoever fell silent, or finish what was not told."""
    if not pair.is_abandoned(now):
        return []
    if pair.status != "running":
        return publish(pair)
    crashes, number = pair.crashes + 1, pair.runs + 1
    ended = replace(
        pair,
        status="failed" if crashes >= POISON else "pending",
        token="",
        crashes=crashes,
        runs=number,
        has_error=True,
        outcome=Outcome(is_synced=False, has_error=True, number=number),
    )
    return [ended, *publish(ended)]


def publish(pair: Pair) -> Stages:
    """Tell the record, the history, and let the row go."""
    told = pair.outcome
    if told is None:
        return []
    stages = []
    accepted = pair.has_record and pair.entry_fence <= pair.fence
    if accepted:
        pair = replace(
            pair,
            is_synced=told.is_synced,
            entry_fence=pair.fence,
            entry_runs=pair.runs,
            entry_error=told.has_error,
            kept=pair.saved if pair.status == "done" else None,
        )
        stages.append(pair)
    if told.number is not None and pair.fence not in dict(pair.history):
        pair = replace(pair, history=(*pair.history, (pair.fence, told.number)))
        stages.append(pair)
    over = pair.status == "done" or (not accepted and pair.is_synced)
    return [*stages, end(pair) if over else replace(pair, outcome=None, token="", is_held=False)]


def end(pair: Pair) -> Pair:
    """Return it without its job."""
    return Pair(
        has_record=pair.has_record,
        is_synced=pair.is_synced,
        entry_fence=pair.entry_fence,
        entry_runs=pair.entry_runs,
        entry_error=pair.entry_error,
        kept=pair.kept,
        history=pair.history,
    )


def report(pair: Pair, is_synced: bool, has_error: bool, given: int | None) -> Stages:
    """Hear from outside that it is there, or is not."""
    before = publish(pair)
    pair = last(pair, before)
    error = has_error and not is_synced
    if pair.status is None and is_synced:
        kept = pair.kept if given is None else given
        return [*before, replace(pair, is_synced=True, entry_fence=pair.entry_fence + 1, entry_error=False, kept=kept)]
    if pair.status is None:
        made, before = make(pair), [*before, *make(pair)]
        pair = made[-1]
    told = replace(
        pair,
        status="done" if is_synced else "failed" if error else "pending",
        fence=max(pair.fence, pair.entry_fence) + 1,
        token="",
        is_held=True,
        outcome=Outcome(is_synced=is_synced, has_error=error),
        attempts=0,
        crashes=0,
        has_error=error,
    )
    if given is not None:
        told = replace(told, saved=given, step="")
    return [*before, told, *publish(told)]


def make(pair: Pair) -> Stages:
    """Make the job that is missing, in hand."""
    fence = pair.entry_fence + 1
    made = replace(pair, status="pending", is_held=True, fence=fence, runs=pair.entry_runs, saved=pair.kept)
    return [made, replace(made, entry_fence=fence)]


def confirm(pair: Pair) -> Stages:
    """Finish the making of a job, or take back that of a report that died before it said its word."""
    if pair.is_synced or pair.entry_fence > pair.fence:
        return [end(pair)]
    known = replace(pair, entry_fence=pair.fence) if pair.has_record else pair
    return [known, replace(known, is_held=False)]


def audit(pair: Pair, now: datetime) -> Stages:
    """Finish what somebody fell silent over, also what no tick looks at."""
    if pair.is_abandoned(now) and pair.status != "running" and pair.outcome is None:
        return confirm(pair)
    return rescue(pair, now)


def reopen(pair: Pair) -> Stages:
    """Try a failure again, with a new budget."""
    if pair.status not in ("failed", "retrying"):
        return []
    return [replace(pair, status="pending", attempts=0, crashes=0)]


def wake(pair: Pair) -> Stages:
    """Go on with what was blocked."""
    return [replace(pair, status="pending")] if pair.status == "blocked" else []


def ask_again(pair: Pair, now: datetime) -> Stages:
    """Go on with what was blocked some time ago."""
    return wake(pair) if pair.due_at <= now and not pair.is_held else []


def work(pair: Pair, token: str) -> Stages:
    """Be taken by a worker through all steps; without a record it is put back."""
    [pair] = stages = claim(pair, token)
    if not pair.has_record:
        return [*stages, *let_go(pair)]
    todo = STEPS[STEPS.index(pair.step or STEPS[0]) + 1 :]
    for step in todo:
        [pair] = save(pair, step, pair.saved)
        stages.append(pair)
    return [*stages, *settle(pair, "done")]


def find_faults(pair: Pair) -> list[str]:
    """Return what must not be at any moment, whatever crashed."""
    numbers = [number for _, number in sorted(pair.history)]
    runs = max(pair.runs, pair.entry_runs)
    is_being_told = pair.outcome is not None or (pair.status == "pending" and pair.is_held)
    untold = pair.outcome is not None and pair.outcome.number is not None
    checks = {
        "it is neither synced nor is there a job": pair.status is None and not pair.is_synced,
        "it is synced and there is work": pair.is_synced and pair.status is not None and not is_being_told,
        "attempts have gaps": numbers != list(range(1, len(numbers) + 1)),
        "attempts are missing": not len(numbers) <= runs <= len(numbers) + untold,
        "somebody holds it without a lease": pair.status in ("running", "done") and not pair.is_held,
    }
    return [text for text, broken in checks.items() if broken]
