"""What the rules look at, read from the rows; the signer's balance is asked of the chain."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from dataunion import roster
from dataunion.alerts.rules import Attempts, KeyReading, PartnerReading, Readings
from dataunion.models import NEVER, ApiKey, HourStat, Partner, TaskLease
from dataunion.state import Outcome, PartnerState
from dataunion.stats import Queue, read_queues
from partners.base import SignerReading
from partners.breaker import CLOSED, Breaker
from partners.errors import PartnerError

log = logging.getLogger(__name__)
_HOUR = timedelta(hours=1)
_FAILED = frozenset(
    {Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.MISCONFIGURED, Outcome.INTERNAL, Outcome.CRASHED}
)  # not what waits, is limited, unknown or not allowed


def read(now: datetime) -> Readings:
    """Read everything."""
    return Readings(
        now=now,
        ticked_at=read_ran_at("tick"),
        partners=tuple(read_partners(now)),
        keys=tuple(_read_keys(now)),
    )


def read_ran_at(task: str) -> datetime | None:
    """Return when a periodic task ran last, None for never."""
    ran_at = TaskLease.objects.filter(name=task).values_list("ran_at", flat=True).first()
    return ran_at if ran_at and ran_at > NEVER else None


def read_partners(now: datetime) -> list[PartnerReading]:
    """Read every partner that is not off."""
    queues, hours = read_queues(now), read_attempts(now.replace(minute=0, second=0, microsecond=0) - _HOUR)
    return [_read_partner(row, queues.get(row.name, Queue()), hours, now) for row in roster.find_active()]


def read_attempts(since: datetime) -> dict[tuple[str, datetime], Attempts]:
    """Return how attempts ended, by partner and hour, from an hour on."""
    found: dict[tuple[str, datetime], Attempts] = {}
    rows = HourStat.objects.filter(hour__gte=since).values_list("partner", "hour", "outcome", "count")
    for partner, hour, outcome, count in rows:
        before = found.get((partner, hour), Attempts(since=hour))
        synced, failed = count * (outcome == Outcome.SYNCED), count * (outcome in _FAILED)
        found[partner, hour] = Attempts(since=hour, synced=before.synced + synced, failed=before.failed + failed)
    return found


def _read_partner(
    row: Partner, queue: Queue, hours: dict[tuple[str, datetime], Attempts], now: datetime
) -> PartnerReading:
    hour = now.replace(minute=0, second=0, microsecond=0)
    this, last = (hours.get((row.name, at), Attempts(since=at)) for at in (hour, hour - _HOUR))
    breaker = Breaker.load(row.breaker)
    signer, is_unknown = _read_signer(row) if breaker.state(now) == CLOSED else (None, True)
    return PartnerReading(
        name=row.name,
        state=row.state,
        stopped_by_system=row.state == PartnerState.PAUSED and row.state_by == "system",
        stopped_at=row.state_at,
        reason=row.state_reason,
        away_s=breaker.away_s(now),
        this_hour=this,
        both_hours=Attempts(since=last.since, synced=this.synced + last.synced, failed=this.failed + last.failed),
        oldest_due=queue.oldest_due,
        signer=signer,
        is_signer_unknown=is_unknown,
    )


def _read_signer(row: Partner) -> tuple[SignerReading | None, bool]:
    """Return what the signer has, and whether that could not be told."""
    try:
        return roster.get_adapter(row).read_signer(), False
    except PartnerError as error:
        log.debug("alerts.signer.unknown", extra={"partner": row.name, "cause": error.message})
    except Exception as error:  # an adapter's bug must not keep the other rules from being judged
        log.warning("alerts.signer.unknown", extra={"partner": row.name, "type": type(error).__name__})
    return None, True


def _read_keys(now: datetime) -> list[KeyReading]:
    rows = ApiKey.objects.filter(revoked_at=None, expires_at__gt=now).values_list("name", "prefix", "expires_at")
    return [KeyReading(name=name, prefix=prefix, ends_at=ends_at) for name, prefix, ends_at in rows if ends_at]
