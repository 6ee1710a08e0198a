"""The only writer of SyncJob and, through publication, of partner entries: each move of a job is a function here.

A move is one conditional update of the job's row that stores the outcome (the commit point; on SQL the deletion of what
is done, see ADR 17), then its publication. Where it matches no row, somebody else has the job by now and nothing more
is done. See ARCHITECTURE for the states.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error, IntegrityError, transaction
from django.db.models import BinaryField, Case, F, Q, QuerySet, When

from dataunion import gate, vault
from dataunion.conf import conf
from dataunion.endings import ENDED, Ending, end
from dataunion.models import NEVER, PAYLOADS, DataUnion, SyncAttempt, SyncJob, each, has_ended
from dataunion.models.expressions import literal
from dataunion.models.job import SyncJobQuerySet
from dataunion.publication import Publication, in_one_transaction, publish, write_entry
from dataunion.state import BULK, CLAIMABLE, FAILING, LIVE, REOPENABLE, Attempt, Outcome, PartnerEntry, Status

_POISON_CRASHES = 2
_AHEAD = timedelta(seconds=60)  # less is nobody's trouble
_CRASHED_BULK = 0.1  # of the claims, while live work is due as well
FAILING_LIMIT = 10_000


# --- taking into hand ------------------------------------------------------------------------------------------------


def claim(
    partner: str,
    *,
    limit: int,
    newcomers: int | None = None,
    report: Callable[[gate.Gate], None] | None = None,
) -> list[SyncJob]:
    """Take due jobs of a partner under one new lease, as its limits allow; each has its fence raised.

    `newcomers`: how many of those may be among them that never began a step; None: any. `report` tells the gate first
    how earlier calls went.
    """
    token = secrets.token_hex(16)
    try:
        with gate.hold(partner) as held:
            if held is None:
                return []
            if report:
                report(held)
            ids = _choose(partner, held.places(limit), held.now, newcomers)
            leased = _lease(ids, token, held.now) if ids else 0
            if leased:
                held.spend(leased, token)
        # Read when the gate is free again: others need not wait for that.
        return list(SyncJob.objects.filter(pk__in=ids, lease_token=token).order_by("priority", "due_at"))
    except Error:
        _release(partner, token)
        raise


def _choose(partner: str, limit: int, now: datetime, newcomers: int | None = None) -> list[UUID]:
    """Pick by priority and due time; a job that was in a crash goes alone."""
    jobs = SyncJob.objects.all()
    if newcomers is None:
        chosen = _pick(jobs, partner, limit, now)
    else:
        chosen = _pick(jobs.filter(step__gt=""), partner, limit, now)
        chosen += _pick(jobs.filter(step=""), partner, min(newcomers, limit - len(chosen)), now)
    if chosen and chosen[0][1]:
        return [chosen[0][0]]
    return [pk for pk, crashes in chosen if not crashes]


def _pick(jobs: SyncJobQuerySet, partner: str, limit: int, now: datetime) -> list[tuple[UUID, int]]:
    """Pick up to `limit` due jobs, a fifth of them bulk work; return their keys and crashes."""
    if limit < 1:
        return []
    live, bulk = (jobs.first_due(partner, now, priority=p, limit=limit) for p in (LIVE, BULK))
    share = min(len(bulk), max(1, limit // 5))
    chosen = live[: max(limit - share, 1)] if live else []
    chosen += bulk[: limit - len(chosen)]
    crashed_bulk = [one for one in bulk if one[1]]
    if crashed_bulk and not chosen[0][1] and random.random() < _CRASHED_BULK:
        return crashed_bulk[:1]  # else live work would keep it from ever being first
    return chosen


def _release(partner: str, token: str) -> None:
    """Give back what the database may have leased before it failed: no worker died of it."""
    leased = SyncJob.objects.filter(partner=partner, status=Status.RUNNING, lease_token=token)
    with suppress(Error):  # what is still held is rescued
        leased.update(status=Status.PENDING, lease_token="", lease_until=NEVER)


def _lease(ids: Collection[UUID], token: str, now: datetime) -> int:
    return SyncJob.objects.filter(pk__in=ids, status__still_in=CLAIMABLE, lease_until__lte=NEVER).update(
        status=Status.RUNNING,
        lease_token=token,
        lease_until=now + timedelta(seconds=conf().sync_lease_s),
        fence=F("fence") + 1,
        claimed_at=now,
        changed_at=now,
    )


def renew(jobs: Collection[SyncJob], now: datetime) -> set[UUID]:
    """Prolong the lease of these jobs; return the keys of those that are still ours."""
    until = now + timedelta(seconds=conf().sync_lease_s)
    ours = _ours(jobs)
    if ours.update(lease_until=until) == len(jobs):
        return {job.pk for job in jobs}
    return set(_ours(jobs).values_list("pk", flat=True))


def _ours(jobs: Collection[SyncJob]) -> QuerySet[SyncJob]:
    tokens = {job.lease_token for job in jobs}
    keys = [job.pk for job in jobs]
    return SyncJob.objects.filter(pk__in=keys, lease_token__in=tokens, status__still_in=[Status.RUNNING])


def save_step(jobs: Collection[SyncJob], step: str, now: datetime) -> set[UUID]:
    """Store `job.saved` of the whole chunk, whose next step is `step`; return the keys of those still ours."""
    if not jobs:
        return set()
    same = {
        "step": step,
        "crashes": 0,
        "waiting_since": None,
        "lease_until": now + timedelta(seconds=conf().sync_lease_s),
    }
    if each.is_at_hand():
        update = each.update(SyncJob, [(_guard(job), {"saved": job.saved, **same}) for job in jobs])
        with in_one_transaction():
            updated = update.run()
    else:
        field_ = BinaryField()
        whens = [When(pk=job.pk, then=literal(job.saved, field_)) for job in jobs]
        updated = _ours(jobs).update(saved=Case(*whens, output_field=field_), **same)
    if updated == len(jobs):
        return {job.pk for job in jobs}
    return set(_ours(jobs).values_list("pk", flat=True))


# --- letting go ------------------------------------------------------------------------------------------------------


def settle(endings: Sequence[tuple[SyncJob, Ending]], now: datetime, *guard: Q) -> list[SyncJob]:
    """Commit and publish how a chunk's jobs ended; return those that were still ours, as they are now."""
    if not endings:
        return []
    if each.is_at_hand() and not guard:
        ended = [end(job, ending, now) for job, ending in endings]
        if _settle_at_once(ended, now):
            return ended
    with in_one_transaction():
        ours = _commit_each(endings, now, guard)
        publish(ours, now)
    return ours


class _LostError(Exception):
    """Somebody else has one of these jobs by now."""


def _settle_at_once(ended: Sequence[SyncJob], now: datetime) -> bool:
    """Commit and publish all in one go; False, and nothing stored, where not all of the jobs are still ours.

    What is done is deleted at once: its publication stands in the same transaction and needs no outcome in the row.
    """
    done = [job for job in ended if job.status == Status.DONE]
    going_on = [job for job in ended if job.status != Status.DONE]
    delete = each.delete(SyncJob, [_guard(job) for job in done])
    update = each.update(SyncJob, [(_guard(job), _changes(job)) for job in going_on])
    publication = Publication([job for job in ended if job.outcome is not None], now)
    try:
        with in_one_transaction():
            if delete.run() + update.run() < len(ended):
                raise _LostError
            publication.write(is_done_deleted=True)
    except _LostError:
        return False
    return True


def _commit_each(endings: Sequence[tuple[SyncJob, Ending]], now: datetime, guard: Sequence[Q]) -> list[SyncJob]:
    return [ended for job, ending in endings if (ended := _commit(job, ending, now, guard))]


def _commit(job: SyncJob, ending: Ending, now: datetime, guard: Sequence[Q]) -> SyncJob | None:
    """Store the outcome, guarded by the token; a row with an outcome stays in hand until that is published."""
    ended = end(job, ending, now)
    still_ours = SyncJob.objects.filter(*guard, **_guard(job))
    return ended if still_ours.update(**_changes(ended)) == 1 else None


def _guard(job: SyncJob) -> dict[str, Any]:
    return {"id": job.pk, "lease_token": job.lease_token, "status": Status.RUNNING}


def _changes(ended: SyncJob) -> dict[str, Any]:
    return {"lease_token": "", **{name: getattr(ended, name) for name in ENDED}}


def rescue(now: datetime, *, limit: int = 500) -> list[SyncJob]:
    """Take back the work of workers that fell silent, and finish publications that nobody finished."""
    return take_back(SyncJob.objects.expired(now, limit=limit), now)


def take_back(found: Collection[SyncJob], now: datetime) -> list[SyncJob]:
    """Rescue these jobs, whose lease has run out; return those whose worker fell silent."""
    left = [job for job in found if job.status != Status.RUNNING]
    endings = [(job, _crash(job, now)) for job in found if job.status == Status.RUNNING]
    with in_one_transaction():
        rescued = settle(endings, now, has_ended("lease_until", now, lasts_s=conf().sync_lease_s))
        publish(left, now)
    return rescued


def _crash(job: SyncJob, now: datetime) -> Ending:
    """Count a worker's death against the job; twice at one step, the second time alone, is poison."""
    job.crashes += 1
    poisoned = job.crashes >= _POISON_CRASHES
    started = job.claimed_at or now
    where = f"at step {job.step}" if job.step else "before its first step"
    message = f"The worker stopped answering {where} and another one took over."
    if poisoned:
        message = f"Two workers died {where} of this record. Look at the record's data and the workers' memory."
    attempt = Attempt(
        outcome=Outcome.CRASHED,
        number=job.runs + 1,
        step=job.step,
        started_at=started.isoformat(),
        duration_ms=max(0, int((now - started).total_seconds() * 1000)),
        trigger=job.trigger,
        error_class="poison" if poisoned else "crashed",
        error_message=message,
        spent=job.spent,
    )
    status = Status.FAILED if poisoned else Status.PENDING
    return Ending(status=status, due_at=now, attempt=attempt)


def rewind(job: SyncJob, step: str, due_at: datetime, now: datetime) -> bool:
    """Store `job.saved` and `job.spent`, let the job go back to `step`; say whether it was still ours."""
    updated = _ours([job]).update(
        saved=job.saved,
        spent=job.spent,
        step=step,
        status=Status.PENDING,
        due_at=due_at,
        crashes=0,
        waiting_since=None,
        lease_token="",
        lease_until=NEVER,
        changed_at=now,
    )
    return updated == 1


def let_go(jobs: Collection[SyncJob], due_at: datetime) -> None:
    """Put back what is still in our hands, as if it had not been claimed; only what its steps took is kept."""
    for job in (one for one in jobs if one.spent):
        _ours([job]).update(spent=job.spent)
    _ours(jobs).update(status=Status.PENDING, due_at=due_at, lease_token="", lease_until=NEVER)


def drop(job: SyncJob) -> None:
    """Delete a job whose record never appeared, what was noted of it, and the data that came before it."""
    if _ours([job]).exists():
        forget_attempts(job)
    deleted, _ = _ours([job]).delete()
    if deleted and not DataUnion.objects.filter(pk=job.record_id).exists():
        PAYLOADS[job.data_type]._default_manager.filter(pk=job.record_id).delete()


def forget_attempts(job: SyncJob) -> None:
    """Delete the attempts at a record that never appeared; before its job, so that a crash leaves a job to drop."""
    if not DataUnion.objects.filter(pk=job.record_id).exists():
        SyncAttempt.objects.filter(record_id=job.record_id, partner=job.partner).delete()


# --- from outside ----------------------------------------------------------------------------------------------------


def make_job(record: DataUnion, partner: str, entry: PartnerEntry, *, trigger: str, now: datetime) -> SyncJob | None:
    """Make the job that a record without one is to have, in hand; None when its entry is no longer as it was read.

    That is decided by one conditional write, which gives the entry the job's fence; until then nobody can claim it.
    """
    job = SyncJob(
        record=record,
        partner=partner,
        user_hash=record.user_hash,
        data_type=record.data_type,
        trigger=trigger,
        runs=entry.attempts,
        fence=entry.fence + 1,
        saved=vault.from_text(entry.retry_data) if entry.retry_data else None,
        due_at=now,
        created_at=now,
        changed_at=now,
        lease_until=now + timedelta(seconds=conf().sync_lease_s),
    )
    try:
        with transaction.atomic():
            job.save(force_insert=True)
    except IntegrityError:
        return None
    if write_entry(record.pk, partner, {"fence": job.fence}, now, exact_fence=entry.fence):
        return job
    SyncJob.objects.filter(pk=job.pk, fence=job.fence, status=job.status).delete()
    return None


def reopen(jobs: QuerySet[SyncJob], *, trigger: str, priority: int, now: datetime, run: UUID | None = None) -> int:
    """Make the failed and retrying ones of these jobs, named by their keys, due now with a new budget; say how many."""
    return jobs.filter(status__still_in=REOPENABLE).update(
        status=Status.PENDING,
        due_at=now,
        attempts=0,
        crashes=0,
        waiting_since=None,
        trigger=trigger[:100],
        run=run,
        priority=priority,
        changed_at=now,
    )


def bring_forward(record_ids: Collection[UUID], partners: Collection[str], now: datetime) -> int:
    """Make waiting and blocked jobs of these records due now, since what they waited for came; return how many."""
    if not record_ids or not partners:
        return 0
    jobs = SyncJob.objects.filter(record_id__in=list(record_ids), partner__in=list(partners))
    waiting = jobs.filter(status__still_in=[Status.PENDING], due_at__gt=now)
    woken = waiting.update(due_at=now, waiting_since=None, changed_at=now)
    blocked = jobs.filter(status__still_in=[Status.BLOCKED])
    return woken + blocked.update(status=Status.PENDING, due_at=now, changed_at=now)


def unblock(partner: str, now: datetime) -> int:
    """Ask again whether what was blocked some time ago still is; return how many jobs go on."""
    blocked = SyncJob.objects.filter(partner=partner, status=Status.BLOCKED, due_at__lte=now, lease_until__lte=NEVER)
    return blocked.update(status=Status.PENDING)


def realign(now: datetime) -> timedelta:
    """Bring nearer what was made due by a clock that ran ahead; return by how much, nothing where none did.

    The newest change of a job tells: it cannot lie in the future. Every job changed since then is moved, once.
    """
    newest = SyncJob.objects.order_by("-changed_at").values_list("changed_at", flat=True).first()
    ahead = newest - now if newest else timedelta(0)
    if ahead < _AHEAD:
        return timedelta(0)
    SyncJob.objects.filter(changed_at__gt=now).update(due_at=F("due_at") - ahead, changed_at=F("changed_at") - ahead)
    return ahead


def open_saved(job: SyncJob) -> dict[str, Any]:
    """Return the job's step results in clear."""
    found: dict[str, Any] = vault.open_json(job.saved, "sync", job.record_id, job.partner)
    return found


def seal_saved(record_id: UUID, partner: str, saved: Mapping[str, Any]) -> bytes:
    """Seal step results; they move between job and entry as they are."""
    return vault.seal_json(dict(saved), "sync", record_id, partner)


def read_retry_data(*, record: DataUnion, partner: str) -> dict[str, Any]:
    """Return the one true copy of a partner's step results: the open job's, else the entry's."""
    entry = record.entry(partner)
    job = SyncJob.objects.filter(record_id=record.pk, partner=partner).first()
    sealed = job.saved if job else (vault.from_text(entry.retry_data) if entry.retry_data else None)
    found: dict[str, Any] = vault.open_json(sealed, "sync", record.pk, partner)
    return found


def find_failing_record_ids(*, partner: str, data_type: str | None = None) -> list[UUID]:
    """Return ids of records that this partner failed to take, newest change first, at most FAILING_LIMIT."""
    jobs = SyncJob.objects.filter(partner=partner, status__in=FAILING)
    if data_type:
        jobs = jobs.filter(data_type=data_type)
    return list(jobs.order_by("-changed_at", "-pk").values_list("record_id", flat=True)[:FAILING_LIMIT])
