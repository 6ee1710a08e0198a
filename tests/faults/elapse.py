"""Time that passes without waiting: everything that is stored moves into the past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F, Model

from dataunion.models import (
    NEVER,
    Backfill,
    CheckIn,
    DataUnion,
    HealthData,
    Partner,
    RetryRun,
    Signer,
    SyncAttempt,
    SyncJob,
    TaskLease,
)

_MOMENTS: dict[type[Model], tuple[str, ...]] = {
    SyncJob: ("due_at", "waiting_since", "claimed_at", "lease_until", "created_at", "changed_at"),
    DataUnion: ("created_at",),
    HealthData: ("created_at",),
    CheckIn: ("created_at",),
    SyncAttempt: ("created_at", "started_at"),
    Partner: ("gate_until", "rate_at", "not_before"),
    TaskLease: ("until", "ran_at"),
    Signer: ("lease_until",),
    RetryRun: ("created_at",),
    Backfill: ("paced_at", "created_at", "finished_at"),
}


def elapse(seconds: float) -> None:
    """Make it so much later than it was, for every due time, lease, limit and breaker; earlier, if it is negative."""
    passed = timedelta(seconds=seconds)
    for model, names in _MOMENTS.items():
        for name in names:
            # Times that mean "never" stay; each of the others moves in one statement, beside workers too.
            later = model._default_manager.filter(**{f"{name}__gt": max(NEVER, NEVER + passed)})
            later.update(**{name: F(name) - passed})
    for row in Partner.objects.exclude(breaker=None):
        Partner.objects.filter(pk=row.pk).update(breaker=_earlier(row.breaker or {}, seconds))


def _earlier(breaker: dict[str, Any], seconds: float) -> dict[str, Any]:
    moved = {key: breaker[key] - seconds for key in ("open_until", "probe_until") if breaker.get(key) is not None}
    window = [[at - seconds, good, bad] for at, good, bad in breaker.get("window", [])]
    return {**breaker, **moved, "window": window}
