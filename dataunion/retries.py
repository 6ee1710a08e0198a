"""Retries that people and services ask for: one record, or a run over all that match a filter.

A run is one statement where the database does that fast (SQL), else pages behind the answer; its row survives
restarts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from dataunion import claims, roster
from dataunion.clock import db_now
from dataunion.models import RetryRun, SyncJob
from dataunion.publication import in_one_transaction
from dataunion.state import BULK, FAILING, LIVE, REOPENABLE, DataType, RunState

_PAGE = 500
_FILTERS = (
    *("partner", "data_type", "error_class", "cause", "user_hash", "status", "step", "step__in", "run"),
    *("record_id", "record_id__in", "attempts", "attempts__gte", "attempts__lte", "created_at__lte", "changed_at__gte"),
)


class UnknownDataTypeError(ValueError):
    """No data type of this name. The message names the valid ones."""


def retry_job(job: SyncJob, *, by: str) -> bool:
    """Make one failed or retrying job due now; say whether it was one. The caller nudges."""
    return claims.reopen(SyncJob.objects.filter(pk=job.pk), trigger=by, priority=LIVE, now=db_now()) == 1


def retry_selection(jobs: QuerySet[SyncJob], *, by: str) -> int:
    """Make the failed and retrying jobs of a selection due now; return how many."""
    pks = list(jobs.values_list("pk", flat=True))  # a search may join, and no database updates across a join
    return claims.reopen(SyncJob.objects.filter(pk__in=pks), trigger=by, priority=LIVE, now=db_now())


def check_filter(*, partner: str, data_type: str | None = None) -> None:
    """Raise roster.UnknownPartnerError or UnknownDataTypeError, which name the valid ones."""
    roster.get_partner(partner)
    if data_type is not None and data_type not in list(DataType):
        raise UnknownDataTypeError(f"Data type {data_type!r} is unknown; there are: {', '.join(DataType)}")


def matching(wanted: dict[str, Any]) -> QuerySet[SyncJob]:
    """Return the failing jobs that a run's filter means; none where it holds a word of a newer version."""
    narrowed = {k: v for k, v in wanted.items() if v not in (None, "")}
    if narrowed.keys() - set(_FILTERS):
        return SyncJob.objects.none()
    return SyncJob.objects.filter(status__in=FAILING).filter(**narrowed)


def count_matching(wanted: dict[str, Any]) -> tuple[int, int]:
    """Return how many jobs fail as the filter says, and how many of these a retry can reopen."""
    jobs = matching(wanted)
    return jobs.count(), jobs.filter(status__in=REOPENABLE).count()


def start_run(wanted: dict[str, Any], *, by: str) -> RetryRun:
    """Start a bulk retry and answer at once; the caller nudges."""
    total, reopenable = count_matching(wanted)
    now = db_now()  # jobs' times are the database's, too
    run = RetryRun.objects.create(filter=wanted, asked_by=by, total=total, wanted=reopenable, created_at=now)
    advance(run, now)
    return run


def advance(run: RetryRun, now: datetime) -> None:
    """Reopen the next part of a run: all of it on SQL, one page elsewhere."""
    asked_at = run.created_at + timedelta(milliseconds=1)  # times are cut to milliseconds
    jobs = matching(run.filter).filter(changed_at__lt=asked_at, status__in=REOPENABLE)
    if connection.vendor == "mongodb":
        page: list[UUID] = list(jobs.order_by("changed_at").values_list("pk", flat=True)[:_PAGE])
        jobs, finished = SyncJob.objects.filter(pk__in=page), len(page) < _PAGE
    else:
        finished = True
    still = RetryRun.objects.filter(pk=run.pk, state=RunState.RUNNING)
    with in_one_transaction():
        reopened = claims.reopen(jobs, trigger=f"retry run by {run.asked_by}"[:100], priority=BULK, now=now)
        if finished:
            still.update(done=F("done") + reopened, state=RunState.DONE, finished_at=now)
        else:
            still.update(done=F("done") + reopened)
    run.refresh_from_db()


def cancel_run(run: RetryRun) -> bool:
    """End a run before its time; what it has reopened stays so. Say whether it was under way."""
    open_run = RetryRun.objects.filter(pk=run.pk, state__in=(RunState.RUNNING, RunState.PAUSED))
    cancelled = open_run.update(state=RunState.CANCELLED, finished_at=db_now()) == 1
    run.refresh_from_db()
    return cancelled


def advance_all(now: datetime) -> set[str]:
    """Take every unfinished run one part further; return the partners that got work."""
    touched = set()
    for run in RetryRun.objects.filter(state=RunState.RUNNING):
        advance(run, now)
        touched.add(run.filter.get("partner", ""))
    return touched - {""}
