"""Retry policies: once a day, at an hour that staff chose, failed work of some error classes gets an ordinary run."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from dataunion import retries
from dataunion.models import RetryPolicy, SyncJob
from dataunion.state import Status

_DAY = timedelta(days=1)
# Error classes that a job can have failed with; partners may name more.
CLASSES = (
    *("transient", "unknown_outcome", "permanent", "validation", "conflict", "proof", "refinement", "internal"),
    "poison",
)


def find_classes(policy: RetryPolicy | None = None) -> list[str]:
    """Return the error classes that a policy can name: ours, what has failed now, and those it has already."""
    seen = SyncJob.objects.filter(status=Status.FAILED).order_by("error_class").values_list("error_class", flat=True)
    more = {*seen.distinct(), *(policy.error_classes if policy else ())} - {"", *CLASSES}
    return [*CLASSES, *sorted(more)]


def wanted_by(policy: RetryPolicy) -> dict[str, str]:
    """Return the filter of a policy's runs."""
    wanted = {"status": str(Status.FAILED), "error_classes": ",".join(sorted(policy.error_classes))}
    return {**wanted, "partner": policy.partner} if policy.partner else wanted


def store(policy: RetryPolicy, *, by: str, now: datetime) -> None:
    """Store a policy as staff want it; its hour comes first after now."""
    policy.changed_by, policy.next_at = by, next_firing(policy.hour, now)
    policy.save()


def next_firing(hour: int, after: datetime) -> datetime:
    """Return the next time that a day has this hour (UTC), later than `after`."""
    today = after.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today > after else today + _DAY


def fire_due(now: datetime) -> int:
    """Start the run of each policy whose hour has come; return how many came."""
    due = list(RetryPolicy.objects.filter(is_on=True, next_at__lte=now))
    for policy in due:
        _fire(policy, now)
    return len(due)


def _fire(policy: RetryPolicy, now: datetime) -> None:
    """Start the run, then set the next hour: whoever dies between finds the run when asked again.

    A day that nobody was there for is made up for once, late.
    """
    by = f"the daily policy of {policy.hour:02}:00 UTC (set by {policy.changed_by})"
    retries.start_run(wanted_by(policy), by=by, pk=_name_firing(policy))
    untouched = RetryPolicy.objects.filter(pk=policy.pk, hour=policy.hour)  # else staff chose another hour meanwhile
    untouched.update(next_at=next_firing(policy.hour, now))


def _name_firing(policy: RetryPolicy) -> UUID:
    """Return the run's key: the same for the same firing, and in time order as UUIDv7 is."""
    moment = int(policy.next_at.timestamp() * 1000)
    salt = hashlib.sha256(policy.pk.bytes).digest()
    raw = bytearray(moment.to_bytes(6, "big") + salt[:10])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return UUID(bytes=bytes(raw))
