"""What the dashboard and the partner pages show in numbers. Costs open work and counters, never the records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max

from dataunion.models import SyncJob

_CAUSES = 20


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Failures that have partner, step and error class in common."""

    partner: str
    step: str
    error_class: str
    count: int
    example: str
    latest: datetime


def read_causes() -> list[Cause]:
    """Return the commonest causes of failure, each with one of its messages."""
    names = ("partner", "step", "error_class")
    facts = {"n": Count("pk"), "latest": Max("changed_at"), "example": Max("error_message")}
    groups = SyncJob.objects.failing().values(*names).annotate(**facts).order_by()
    found = sorted(groups, key=lambda row: (-row["n"], *(row[name] for name in names)))[:_CAUSES]
    return [Cause(count=row.pop("n"), **row) for row in found]
