"""How a worker lets go of a job, and what the job's row says then. Pure but for the settings; `claims` stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dataunion.causes import name_cause
from dataunion.conf import conf
from dataunion.models import NEVER, SyncJob
from dataunion.state import Attempt, Status
from partners.base import PUSH

ENDED = (  # what `end` changes
    "status",
    "due_at",
    "attempts",
    "runs",
    "crashes",
    "waiting_since",
    "waits_for",
    "step",
    "spent",
    "lease_until",
    "outcome",
    "error_class",
    "error_message",
    "cause",
    "changed_at",
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a worker lets go of a job: the new status, when it is due again, and what to tell people."""

    status: Status
    due_at: datetime
    attempt: Attempt | None = None  # None: nothing to record (a mere wait)
    spends_attempt: bool = False
    waits: bool = False  # counts towards the limit of waiting
    waits_for: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    refs: Sequence[tuple[str, str]] = ()


def end(claimed: SyncJob, ending: Ending, now: datetime) -> SyncJob:
    """Return the job as it ends. It is another one, so that whoever fails here can end it in another way."""
    job, attempt = _copy(claimed), ending.attempt
    job.status, job.due_at, job.changed_at = ending.status, ending.due_at, now
    job.attempts += ending.spends_attempt
    job.waiting_since = (job.waiting_since or now) if ending.waits else None
    job.waits_for = ending.waits_for
    if attempt is None and ending.status != Status.DONE:
        job.lease_until = NEVER  # a wait has nothing to publish
        return job
    job.lease_until = now + timedelta(seconds=conf().sync_lease_s)
    done = ending.status == Status.DONE
    entry: dict[str, Any] = dict(ending.receipt, is_synced=done and job.kind == PUSH)
    if done:
        entry["synced_at" if job.kind == PUSH else "withdrawn_at"] = now.isoformat()
        job.error_class = job.error_message = ""
        job.cause = None
    elif attempt is not None:
        job.error_class, job.error_message = attempt.error_class, attempt.error_message
        job.cause = name_cause(attempt.error_message)
    if attempt is not None:
        job.runs, job.spent = attempt.number, None
    entry["error_message"] = job.error_message or None
    facts = attempt.dump() if attempt else None
    job.outcome = {"entry": entry, "attempt": facts, "refs": [list(ref) for ref in ending.refs]}
    return job


def _copy(job: SyncJob) -> SyncJob:
    """Return another one with the same values; `copy` would go by way of pickling, for each record anew."""
    twin = SyncJob.__new__(SyncJob)
    twin.__dict__.update(job.__dict__)
    return twin
