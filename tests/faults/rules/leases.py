"""I4: one live lease at a time, and no stale token or fence ever changed a row; judged write by write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from dataunion.models import NEVER, SyncJob
from dataunion.state import CLAIMABLE, MOVES, Outcome, Status
from tests.faults.chronicle import Change, Row
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation

_LEASES = {"signers": ("lease_token", "lease_until"), "partners": ("gate_token", "gate_until")}
_LEASES |= {"taskleases": ("token", "until")}
_SLACK = timedelta(milliseconds=20)  # times in rows are cut to milliseconds
_WORKERS = {(Status.RUNNING, to) for name, (_, to) in MOVES.items() if Status.RUNNING in MOVES[name][0]}
_OTHERS = {(one, to) for name in ("reopen", "unblock") for one, to in ((f, MOVES[name][1]) for f in MOVES[name][0])}
_REPORTED = (Status.DONE, Status.FAILED, Status.PENDING)


def check_rows(world: World) -> Iterator[Violation]:
    """Yield what breaks I4 in the rows as they are, on every database."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for side in world.sides.values():
        if side.job is not None:
            yield from (Violation("I4", f"{side}: {what}") for what in _row(side, side.job))
            if side.job.lease_token:
                held[side.partner.name, side.job.lease_token].add(str(side.job.claimed_at))
    for (partner, _), moments in held.items():
        if len(moments) > 1:
            yield Violation("I4", f"{partner}: one token was given by {len(moments)} claims")


def _row(side: Side, job: SyncJob) -> Iterator[str]:
    if job.status == Status.RUNNING and not job.lease_token:
        yield "running without a token"
    if job.status != Status.RUNNING and job.lease_token:
        yield f"{job.status}, and a worker's token was left"
    if job.status != Status.DONE and side.entry.fence > job.fence:
        yield f"the entry's fence {side.entry.fence} is above its job's {job.fence}"


def check_changes(changes: Iterable[Change]) -> Iterator[Violation]:
    """Judge every write that was recorded, in its order."""
    judge = _Judge()
    for change in changes:
        for what in judge.find(change):
            yield _violation(change, what)
    for change, what in judge.below.values():
        yield _violation(change, what)


def _violation(change: Change, what: str) -> Violation:
    return Violation("I4", f"{change.table} {change.key} at {change.at:%H:%M:%S.%f}: {what}")


class _Judge:
    """Knows what has been; `find` must be given the writes in their order."""

    def __init__(self) -> None:
        self._tokens: set[tuple[str, str]] = set()  # job, token
        self._highest: dict[tuple[str, str], int] = {}  # fence in a worker's or publisher's hand, by record, partner
        # New jobs with a fence of the past: right if whoever lost a race takes them back, before anybody has them.
        self.below: dict[str, tuple[Change, str]] = {}

    def find(self, change: Change) -> list[str]:
        """Return what is wrong with this write."""
        if change.table in _LEASES:
            return list(_lease(change, *_LEASES[change.table]))
        if change.table == "dataunions":
            return list(_entries(change))
        return list(self._job(change))

    def _job(self, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if new is None:
            self.below.pop(change.key, None)
            return
        place = (str(new["record_id"]), str(new["partner"]))
        if old is None:
            if new["fence"] <= self._highest.get(place, 0):
                what = f"a new job has fence {new['fence']}, one before it had {self._highest[place]}"
                self.below[change.key] = (change, what)
        elif new["fence"] < old["fence"]:
            yield f"the fence fell from {old['fence']} to {new['fence']}"
        elif new["fence"] == old["fence"]:
            yield from _same_fence(old, new, change.at)
        elif new["status"] == Status.RUNNING:
            yield from self._claim(change.key, old, new)
        else:
            yield from _report(old, new)
        if new["status"] in (Status.RUNNING, Status.DONE):
            self._highest[place] = max(new["fence"], self._highest.get(place, 0))

    def _claim(self, key: str, old: Row, new: Row) -> Iterator[str]:
        if key in self.below:
            yield f"claimed, and {self.below[key][1]}"
        if new["fence"] != old["fence"] + 1:
            yield f"a claim raised the fence from {old['fence']} to {new['fence']}"
        if old["status"] not in CLAIMABLE:
            yield f"claimed while {old['status']}"
        if old["lease_until"] > NEVER:
            yield "claimed while somebody held it"
        if not new["lease_token"] or (key, new["lease_token"]) in self._tokens:
            yield "claimed without a token of its own"
        self._tokens.add((key, new["lease_token"]))


def _same_fence(old: Row, new: Row, at: datetime) -> Iterator[str]:
    move = (old["status"], new["status"])
    if move == (Status.RUNNING, Status.RUNNING):
        if old["lease_token"] != new["lease_token"]:
            yield "its token changed while it ran"
        return
    if new["lease_token"]:
        yield f"{new['status']} with a token"
    if move in _WORKERS:
        yield from _ending(old, new, at)
    elif move[0] == move[1] or move in _OTHERS:
        yield from _untouched(old, new)
    else:
        yield f"went from {move[0]} to {move[1]} without a new fence"


def _ending(old: Row, new: Row, at: datetime) -> Iterator[str]:
    """Judge how a running job was let go: by its own worker, or by a rescue of an expired lease."""
    facts = (new["outcome"] or {}).get("attempt")
    if facts is None:
        return
    if not facts["number"] == new["runs"] == old["runs"] + 1:
        yield f"attempt {facts['number']} ended a job with {old['runs']} attempts: a stale worker's"
    if facts["outcome"] == Outcome.CRASHED:
        if old["lease_until"] > at + _SLACK:
            yield "taken back from a worker whose lease was live"
    elif old["claimed_at"] and datetime.fromisoformat(facts["started_at"]) < _moment(old["claimed_at"]) - _SLACK:
        yield "ended by an attempt that began before it was claimed: a stale worker's"


def _moment(value: Any) -> datetime:
    found: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found


def _untouched(old: Row, new: Row) -> Iterator[str]:
    """Judge a write to a job that nobody runs: it may be published or made due, and nothing else."""
    if old["step"] != new["step"] or old["runs"] != new["runs"]:
        yield f"its steps or attempts changed while {old['status']}"
    if old["outcome"] is None and new["outcome"] is not None:
        yield f"an outcome was stored while {old['status']}, by nobody who held it"
    if new["lease_until"] > old["lease_until"]:
        yield f"held again while {old['status']}, without a claim"


def _report(old: Row, new: Row) -> Iterator[str]:
    """Judge a word from outside, which alone raises the fence without running the job."""
    if new["status"] not in _REPORTED or new["lease_token"] or new["outcome"] is None:
        yield f"the fence rose from {old['fence']} to {new['fence']}, and it is neither a claim nor a report"
    elif new["runs"] != old["runs"]:
        yield "a report counted an attempt"


def _entries(change: Change) -> Iterator[str]:
    before, after = ((row or {}).get("partners") or {} for row in (change.old, change.new))
    for partner in before.keys() & after.keys() if change.new else ():
        old, new = before[partner], after[partner]
        if (new["fence"] or 0) < (old["fence"] or 0):
            yield f"{partner}: the entry's fence fell from {old['fence']} to {new['fence']}"
        elif new["fence"] == old["fence"] and bool(new["is_synced"]) != bool(old["is_synced"]):
            yield f"{partner}: the entry became {'synced' if new['is_synced'] else 'unsynced'} without a new fence"


def _lease(change: Change, token: str, until: str) -> Iterator[str]:
    old, new = change.old, change.new
    if old is None or new is None or new[token] == old[token] or not new[token]:
        return
    if old[until] > change.at + _SLACK:
        yield "its lease was taken while somebody held it"
