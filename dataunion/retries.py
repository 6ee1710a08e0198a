"""Retries that people, services and policies ask for: one record, or a run over all that match a filter.

A run goes page by page, the first in the answer, the others by the tick: so it can be paused and cancelled, live work
comes in between, and its row survives restarts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Coalesce

from dataunion import claims, roster
from dataunion.clock import db_now
from dataunion.models import RetryRun, SyncJob
from dataunion.publication import in_one_transaction
from dataunion.state import BULK, FAILING, LIVE, OPEN_RUN, REOPENABLE, DataType, RunState, Status

log = logging.getLogger(__name__)
# PostgreSQL's pages are large, since the smaller they are the longer all of them take together. SQLite has one writer
# at a time: there a page is over in some milliseconds, and the database is live writes' for at least as long again.
_PAGE = {"sqlite": 300, "mongodb": 500}.get(connection.vendor, 2000)
_EVERY_S = 0.05 if connection.vendor == "sqlite" else 0.0  # a page begins no more often than this; 0: without pause
_TICK_S = 4.5  # how long one tick works on runs
_FILTERS = (
    *("partner", "data_type", "error_class", "cause", "user_hash", "status", "step", "step__in", "run"),
    *("record_id", "record_id__in", "attempts", "attempts__gte", "attempts__lte", "created_at__lte", "changed_at__gte"),
)
_LISTS = {"ids": "id__in", "error_classes": "error_class__in"}  # each a text, with commas between
_MOMENTS = {"created_at__lte", "changed_at__gte"}
_RACES = 5


class UnknownDataTypeError(ValueError):
    """No data type of this name. The message names the valid ones."""


def retry_job(job: SyncJob, *, by: str) -> bool:
    """Make one failed or retrying job due now; say whether it was one. The caller nudges."""
    with in_one_transaction():
        reopened = claims.reopen(SyncJob.objects.filter(pk=job.pk), trigger=by, priority=LIVE, now=db_now()) == 1
        if reopened:
            _pass_on([job.run])
    return reopened


def check_filter(*, partner: str, data_type: str | None = None) -> None:
    """Raise roster.UnknownPartnerError or UnknownDataTypeError, which name the valid ones."""
    roster.get_partner(partner)
    if data_type is not None and data_type not in list(DataType):
        raise UnknownDataTypeError(f"Data type {data_type!r} is unknown; there are: {', '.join(DataType)}")


def matching(wanted: Mapping[str, Any]) -> QuerySet[SyncJob]:
    """Return the failing jobs that a run's filter means; none where it holds a word of a newer version."""
    given = {k: v for k, v in wanted.items() if v not in (None, "")}
    if given.keys() - set(_FILTERS) - set(_LISTS):
        return SyncJob.objects.none()
    narrowed = {k: v for k, v in given.items() if k in _FILTERS}
    narrowed |= {_LISTS[k]: list(filter(None, v.split(","))) for k, v in wanted.items() if k in _LISTS}
    return SyncJob.objects.filter(status__in=FAILING).filter(**narrowed)


def select(pks: Iterable[UUID]) -> dict[str, str]:
    """Return the filter that means these jobs."""
    return {"ids": ",".join(sorted(map(str, pks)))}


def count_matching(wanted: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many jobs fail as the filter says, and how many of these a retry can reopen."""
    jobs = matching(wanted)
    return jobs.count(), jobs.filter(status__in=REOPENABLE).count()


# --- the life of a run -----------------------------------------------------------------------------------------------


def start_run(wanted: Mapping[str, Any], *, by: str, pk: UUID | None = None) -> RetryRun:
    """Start a bulk retry and answer at once, or join the one that is under way (`is_joined`); the caller nudges.

    Whoever gives a key gets the run that has it, if there is one already.
    """
    total, reopenable = count_matching(wanted)
    now = db_now()  # jobs' times are the database's, too
    facts = {"filter": dict(wanted), "asked_by": by[:150], "total": total, "wanted": reopenable, "created_at": now}
    work = name_work(wanted, now)
    run = None
    for _ in range(_RACES):
        run = _find_run(work, pk) or _make_run(work=work, **facts, **({"pk": pk} if pk else {}))
        if run is not None:
            break
    if run is None:
        raise RuntimeError("Other retries of the same work began and ended all the while; ask again.")
    if not run.is_joined:
        advance(run, now)
    return run


def name_work(wanted: Mapping[str, Any], now: datetime) -> str:
    """Return what two clicks on the same work have in common: a filter by age has the moment of the click in it."""
    facts = {name: value for name, value in wanted.items() if value}
    for name in _MOMENTS & facts.keys():
        age = now - datetime.fromisoformat(facts[name])
        facts[name] = f"{round(age.total_seconds() / 60)} minutes"
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def find_run(wanted: Mapping[str, Any]) -> RetryRun | None:
    """Return the run that is under way for the same work."""
    return RetryRun.objects.filter(work=name_work(wanted, db_now()), state__in=OPEN_RUN).first()


def _find_run(work: str, pk: UUID | None) -> RetryRun | None:
    found = RetryRun.objects.filter(work=work).first()
    if found and found.state not in OPEN_RUN:  # an older version ended it
        RetryRun.objects.filter(pk=found.pk).update(work=None)
        found = None
    if found is None and pk:
        found = RetryRun.objects.filter(pk=pk).first()
    if found:
        found.is_joined = True
    return found


def _make_run(**facts: Any) -> RetryRun | None:
    try:
        with transaction.atomic():
            return RetryRun.objects.create(**facts)
    except IntegrityError:
        return None


def count_left_out(wanted: Mapping[str, Any], run: RetryRun) -> int:
    """Return how many jobs a retry of this work could reopen that `run`, which was asked for earlier, does not."""
    return matching(wanted).filter(changed_at__gte=_asked_at(run), status__in=REOPENABLE).count()


def _asked_at(run: RetryRun) -> datetime:
    """Return the time from which on failures are too new for the run. Times are cut to milliseconds."""
    return run.created_at + timedelta(milliseconds=1)


def advance(run: RetryRun, now: datetime) -> None:
    """Reopen one page of a run, if it is running."""
    if not RetryRun.objects.filter(pk=run.pk, state=RunState.RUNNING).exists():
        run.refresh_from_db()
        return
    asked_at = _asked_at(run)
    jobs = matching(run.filter).filter(changed_at__lt=asked_at, status__in=REOPENABLE)
    page = dict(jobs.values_list("pk", "run")[:_PAGE])
    if page:
        _reopen(run, page, asked_at, now)
    if len(page) < _PAGE:
        _finish(run, now)
    run.refresh_from_db()


def _reopen(run: RetryRun, page: Mapping[UUID, UUID | None], asked_at: datetime, now: datetime) -> None:
    """Reopen a page; another worker may have the same one, and the count is of those that we reopened."""
    jobs = SyncJob.objects.filter(pk__in=list(page), changed_at__lt=asked_at)
    priority = LIVE if "ids" in run.filter else BULK
    with in_one_transaction():
        reopened = claims.reopen(
            jobs, trigger=f"retry run by {run.asked_by}"[:100], priority=priority, now=now, run=run.pk
        )
        RetryRun.objects.filter(pk=run.pk).update(done=F("done") + reopened)
        _pass_on(page.values())


def _pass_on(runs: Iterable[UUID | None]) -> None:
    """Tell earlier runs that jobs of theirs are in another's hand now: they cannot see them end any more."""
    for pk, count in Counter(pk for pk in runs if pk).items():
        RetryRun.objects.filter(pk=pk).update(passed_on=Coalesce(F("passed_on"), 0) + count)


def _finish(run: RetryRun, now: datetime) -> None:
    """End a run that found nothing more; where a crash left a page uncounted (MongoDB), its jobs tell."""
    touched = SyncJob.objects.filter(run=run.pk).count()
    RetryRun.objects.filter(pk=run.pk, done__lt=touched).update(done=touched)
    _move(run, (RunState.RUNNING,), RunState.DONE, finished_at=now, work=None)


def pause_run(run: RetryRun) -> bool:
    """Stop a run until it is resumed; say whether it was running."""
    return _move(run, (RunState.RUNNING,), RunState.PAUSED)


def resume_run(run: RetryRun) -> bool:
    """Let a paused run go on, with a page at once; say whether it was paused. The caller nudges."""
    resumed = _move(run, (RunState.PAUSED,), RunState.RUNNING)
    if resumed:
        advance(run, db_now())
    return resumed


def cancel_run(run: RetryRun) -> bool:
    """End a run before its time; what it has reopened stays so. Say whether it was under way."""
    return _move(run, OPEN_RUN, RunState.CANCELLED, finished_at=db_now(), work=None)


def _move(run: RetryRun, states: Iterable[RunState], state: RunState, **changes: Any) -> bool:
    moved = RetryRun.objects.filter(pk=run.pk, state__in=list(states)).update(state=state, **changes) == 1
    run.refresh_from_db()
    return moved


# --- how it goes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How the jobs of a run stand now; together they are all that it wanted."""

    wanted: int
    untouched: int  # not reopened: not yet, or never when the run has ended
    under_way: int  # reopened, and not attempted yet
    retrying: int  # attempted in vain, to be tried again by itself
    failed: int
    blocked: int
    passed_on: int  # retried again later by somebody else
    done: int

    @property
    def settled(self) -> int:
        """How many need nobody's waiting any more."""
        return self.done + self.failed + self.blocked + self.passed_on


def read_progress(runs: Collection[RetryRun]) -> dict[UUID, Progress]:
    """Return how each run's jobs stand, in one question."""
    jobs = SyncJob.objects.filter(run__in=[run.pk for run in runs])
    counts: dict[UUID, Counter[str]] = {run.pk: Counter() for run in runs}
    for pk, status, count in jobs.order_by().values_list("run", "status").annotate(n=Count("pk")):
        counts[pk][status] = count
    return {run.pk: _progress(run, counts[run.pk]) for run in runs}


def _progress(run: RetryRun, counts: Counter[str]) -> Progress:
    """Count what is no longer open as done: a synced record has no job."""
    passed_on = run.passed_on or 0
    reopened = max(run.done, counts.total())  # MongoDB may not have counted a page yet
    return Progress(
        wanted=max(run.wanted, reopened),
        untouched=max(0, run.wanted - reopened),
        under_way=counts[Status.PENDING] + counts[Status.RUNNING],
        retrying=counts[Status.RETRYING],
        failed=counts[Status.FAILED],
        blocked=counts[Status.BLOCKED],
        passed_on=passed_on,
        done=max(0, reopened - counts.total() - passed_on),
    )


# --- the tick's part -------------------------------------------------------------------------------------------------


def advance_all(now: datetime) -> set[str]:
    """Take unfinished runs further, a page of each in turn, as long as a tick may take; return the partners.

    A run that fails is left for the next tick and holds up no other; its error is raised in the end.
    """
    touched: set[str] = set()
    errors: dict[UUID, Exception] = {}
    ends_at = time.monotonic() + _TICK_S
    while runs := list(RetryRun.objects.filter(state=RunState.RUNNING).exclude(pk__in=errors).order_by("created_at")):
        began_at = time.monotonic()
        touched |= {run.filter.get("partner", "") for run in runs}
        errors |= _advance_each(runs, now)
        took_s = time.monotonic() - began_at
        pause_s = max(_EVERY_S - took_s, took_s) if _EVERY_S else 0
        if not any(run.state == RunState.RUNNING and run.pk not in errors for run in runs):
            pause_s = 0
        if time.monotonic() + pause_s >= ends_at:
            break
        time.sleep(pause_s)
    for error in errors.values():
        raise error
    return touched - {""}


def _advance_each(runs: Iterable[RetryRun], now: datetime) -> dict[UUID, Exception]:
    """Take each run one page further; return what went wrong with which."""
    errors: dict[UUID, Exception] = {}
    for run in runs:
        try:
            advance(run, now)
        except Exception as error:
            log.error("retry.run.stopped", extra={"run": str(run.pk), "cause": type(error).__name__})
            errors[run.pk] = error
    return errors
