"""Failures grouped by cause. Costs what fails now, through an index, never the records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q

from dataunion.admin.filters import NOT_BEGUN
from dataunion.models import SyncJob
from dataunion.state import REOPENABLE, Status

_CAUSES = 20


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Failures that have partner, step, error class and cleaned message in common."""

    partner: str
    step: str
    error_class: str
    cause: str | None  # None: of an older version, or without a message
    count: int
    able: int  # of these, how many a retry can reopen
    retrying: int  # of these, how many are tried again by themselves
    first: datetime  # of their last attempts
    latest: datetime
    example: str
    is_exact: bool  # whether its filter means these jobs and no others

    @property
    def filter(self) -> dict[str, str]:
        """Return the query that finds these jobs; where it is not exact, others besides."""
        names = {name: getattr(self, name) for name in ("partner", "error_class", "cause")}
        return {"step": self.step or NOT_BEGUN, **{name: value for name, value in names.items() if value}}


@dataclass(frozen=True, kw_only=True)
class Causes:
    """The commonest causes, and how many failures have others."""

    shown: list[Cause]
    other_failures: int


def read_causes() -> Causes:
    """Return the commonest causes of failure, each with one of its messages."""
    totals = _count_by_class()
    names = ("partner", "step", "error_class", "cause")
    facts = {
        "count": Count("pk"),
        "able": Count("pk", filter=Q(status__in=REOPENABLE)),
        "retrying": Count("pk", filter=Q(status=Status.RETRYING)),
        "first": Min("changed_at"),
        "latest": Max("changed_at"),
        "example": Max("error_message"),
    }
    groups = SyncJob.objects.failing().values(*names).annotate(**facts)
    rows = groups.order_by("-count", *names)[:_CAUSES]
    shown = [Cause(is_exact=_is_exact(row, totals), **row) for row in rows]
    return Causes(shown=shown, other_failures=max(0, totals.total() - sum(cause.count for cause in shown)))


def _count_by_class() -> Counter[tuple[str, str, str]]:
    rows = SyncJob.objects.failing().values_list("partner", "step", "error_class").annotate(n=Count("pk"))
    return Counter({(partner, step, error_class): n for partner, step, error_class, n in rows.order_by()})


def _is_exact(row: dict[str, Any], totals: Counter[tuple[str, str, str]]) -> bool:
    """Say whether the filter of a group, which cannot ask for an empty class or cause, reaches no other group."""
    own = (row["partner"], row["step"], row["error_class"])
    reached = sum(n for other, n in totals.items() if other[:2] == own[:2] and own[2] in ("", other[2]))
    return reached == (totals[own] if row["cause"] else row["count"])
