"""What the dashboard and the partner pages show in numbers. Costs open work and counters, never the records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Min

from dataunion.models import NEVER, SyncJob, TaskLease
from dataunion.state import CLAIMABLE, FAILING, Status

_CAUSES = 20


@dataclass
class Queue:
    """One partner's open work."""

    counts: Counter[str] = field(default_factory=Counter)
    oldest_due: datetime | None = None

    @property
    def waiting(self) -> int:
        """Return how many are on their way, without an error so far."""
        return self.counts[Status.PENDING] + self.counts[Status.RUNNING]

    @property
    def failed(self) -> int:
        """Return how many are not synced because of an error."""
        return sum(self.counts[status] for status in FAILING)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Failures that have partner, step and error class in common."""

    partner: str
    step: str
    error_class: str
    count: int
    example: str
    latest: datetime


def read_queues(now: datetime) -> dict[str, Queue]:
    """Return the open work of each partner that has any, by name."""
    queues: dict[str, Queue] = {}
    rows = SyncJob.objects.exclude(status=Status.DONE).values_list("partner", "status").annotate(n=Count("pk"))
    for partner, status, n in rows.order_by():
        queues.setdefault(partner, Queue()).counts[status] += n
    due = SyncJob.objects.filter(status__in=CLAIMABLE, due_at__lte=now).values_list("partner")
    for partner, oldest in due.annotate(oldest=Min("due_at")).order_by():
        queues.setdefault(partner, Queue()).oldest_due = oldest
    return queues


def read_causes() -> list[Cause]:
    """Return the commonest causes of failure, each with one of its messages."""
    names = ("partner", "step", "error_class")
    facts = {"n": Count("pk"), "latest": Max("changed_at"), "example": Max("error_message")}
    groups = SyncJob.objects.failing().values(*names).annotate(**facts).order_by()
    found = sorted(groups, key=lambda row: (-row["n"], *(row[name] for name in names)))[:_CAUSES]
    return [Cause(count=row.pop("n"), **row) for row in found]


def read_last_tick() -> datetime | None:
    """Return when the clock last ticked; None if never."""
    ran_at = TaskLease.objects.filter(name="tick").values_list("ran_at", flat=True).first()
    return ran_at if ran_at and ran_at > NEVER else None
