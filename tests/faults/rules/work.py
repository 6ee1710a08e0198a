"""I1: every record at every partner is synced, or has exactly one job that will go on or says why it will not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dataunion import roster
from dataunion.conf import conf
from dataunion.models import NEVER, SyncJob
from dataunion.state import CLAIMABLE, FAILING, Outcome, PartnerState, Status
from dataunion.sync.items import WAIT_S
from partners.base import PUSH
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation

_SLACK_S = 2.0
_LONGEST_WAIT_S = 3600.0  # what an adapter asks at most by NotReady or Rewind


def check_work(world: World, at_rest: bool) -> Iterator[Violation]:
    """Yield what breaks I1."""
    for side in world.sides.values():
        found = [*_accounted_for(side), *_job_is_sound(world, side)]
        if at_rest:
            found += [*_nothing_half_done(side), *_nothing_left(world, side)]
        yield from (Violation("I1", f"{side}: {what}") for what in found)
    for job in world.strays:
        found = list(_stray(world, job, at_rest))
        yield from (Violation("I1", f"{job.partner} {job.record_id}: {what}") for what in found)


def _accounted_for(side: Side) -> Iterator[str]:
    entry, job = side.entry, side.job
    if job is None:
        if not entry.is_synced and not entry.withdrawn_at:
            yield "lost: not synced, not withdrawn, and no job"
    elif job.kind != PUSH or job.status == Status.DONE or job.outcome is not None:
        return  # on its way to another entry
    elif entry.is_synced:
        yield f"synced, and a job is {job.status} too"
    elif entry.withdrawn_at:
        yield f"withdrawn, and a job is {job.status} too"


def _job_is_sound(world: World, side: Side) -> Iterator[str]:
    job = side.job
    if job is None:
        return
    is_held = job.lease_until > NEVER
    if job.status == Status.RUNNING and not is_held:
        yield "running without a lease: nobody will ever take it back"
    if job.status == Status.DONE and (job.outcome is None or not is_held):
        yield "done, and nobody will ever finish it"
    if job.status not in (Status.RUNNING, Status.DONE) and not is_held and job.outcome is not None:
        yield f"{job.status} with an outcome that nobody will publish"
    if job.status in FAILING and not (job.error_class and job.error_message):
        yield f"{job.status} without error class and message"
    yield from _due_in_time(world, side, job)


def _due_in_time(world: World, side: Side, job: SyncJob) -> Iterator[str]:
    """Compare the due time with what each wait may last."""
    if job.status not in (*CLAIMABLE, Status.BLOCKED):
        return
    if job.due_at is None or job.due_at <= NEVER + timedelta(days=1):
        yield f"{job.status} without a due time"
        return
    ahead_s = (job.due_at - world.now).total_seconds()
    cap_s = _cap_s(side, job)
    if ahead_s > cap_s + _SLACK_S:
        yield f"{job.status}, due later than in the {cap_s:.0f} s that it may wait"


def _cap_s(side: Side, job: SyncJob) -> float:
    bounds = conf()
    if job.status == Status.BLOCKED:
        return bounds.sync_requirement_s
    if job.status == Status.PENDING:
        return max(bounds.sync_requirement_s, WAIT_S, _LONGEST_WAIT_S)
    if side.attempts and side.attempts[-1].outcome == Outcome.LIMITED:
        return bounds.sync_retry_after_cap_s
    return max(side.partner.backoff_cap_s, bounds.sync_tick_s, 60.0)


def _nothing_half_done(side: Side) -> Iterator[str]:
    job = side.job
    if job is None:
        return
    if job.status == Status.DONE:
        yield "a done job was left"
    elif job.outcome is not None:
        yield "an outcome was left unpublished"
    elif job.status != Status.RUNNING and job.lease_until > NEVER:
        yield f"{job.status} and held, with nothing to publish: nobody can claim it"
    elif job.status in FAILING and side.entry.error_message != (job.error_message or None):
        yield "the entry tells of another error than its job"


def _nothing_left(world: World, side: Side) -> Iterator[str]:
    """Yield work that could have been finished."""
    job = side.job
    if job is None:
        return
    if job.status == Status.RUNNING:
        expired = job.lease_until <= world.now
        yield "a worker's lease has expired, and nobody took the job over" if expired else "still running"
    elif job.status in CLAIMABLE and _due_at(side, job) <= world.now and not _is_stuck(world, side):
        yield f"{job.status} and due, and nobody works on it"


def _due_at(side: Side, job: SyncJob) -> datetime:
    """Return when it can be claimed: due, and the partner neither resting nor thought to be down."""
    open_until = (side.partner.breaker or {}).get("open_until") or 0.0
    return max(job.due_at, side.partner.not_before, datetime.fromtimestamp(open_until, UTC))


def _is_stuck(world: World, side: Side, seen: frozenset[str] = frozenset()) -> bool:
    """Say whether a final reason keeps it: its partner stopped, no data, or a required partner that lacks it."""
    name, record = side.partner.name, side.record
    if side.partner.state != PartnerState.ON or record.pk not in world.payloads or name in seen:
        return True
    for required in roster.requirements(side.partner):
        other = world.sides.get((record.pk, required))
        if other is None or (not other.entry.is_synced and _is_final(world, other, seen | {name})):
            return True
    return False


def _is_final(world: World, side: Side, seen: frozenset[str]) -> bool:
    if side.job is None or side.job.status in (Status.FAILED, Status.BLOCKED):
        return True
    return _is_stuck(world, side, seen)


def _stray(world: World, job: SyncJob, at_rest: bool) -> Iterator[str]:
    if job.record_id in world.records:
        yield f"a job is {job.status}, and the record is not enrolled there"
    elif at_rest and (world.now - job.created_at).total_seconds() > conf().sync_orphan_s + WAIT_S:
        yield "a job without a record was not dropped"
