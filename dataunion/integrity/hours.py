"""The hours' statistics against the attempts that they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from random import Random

from django.db.models import Max, Min

from dataunion import stats
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import NEVER, HourStat, SyncAttempt

_HOUR = timedelta(hours=1)
_KEPT = timedelta(hours=22)  # attempts are kept for a day at least


def choose_hours(now: datetime, random: Random) -> list[datetime]:
    """Return hours to look at: the one before this, and one from anywhere."""
    first = HourStat.objects.aggregate(first=Min("hour"))["first"]
    if first is None:
        return []
    this = _floor(now)
    anywhere = _floor(first + random.random() * (this - first))
    return sorted({this - _HOUR, anywhere})


def all_hours() -> Iterator[datetime]:
    """Yield every hour that has attempts or statistics; those without cost nothing."""
    begin = NEVER
    while True:
        attempt = SyncAttempt.objects.filter(created_at__gte=begin).aggregate(first=Min("created_at"))["first"]
        stat = HourStat.objects.filter(hour__gte=begin).aggregate(first=Min("hour"))["first"]
        found = [moment for moment in (attempt, stat) if moment is not None]
        if not found:
            return
        hour = _floor(min(found))
        yield hour
        begin = hour + _HOUR


def check_hour(found: Findings, hour: datetime) -> None:
    """Write an hour anew where it differs from its attempts, but for those that have been pruned since."""
    last = HourStat.objects.aggregate(last=Max("hour"))["last"]
    oldest = SyncAttempt.objects.aggregate(oldest=Min("created_at"))["oldest"]
    if last is None:
        return
    is_whole = hour > found.now - _KEPT or (oldest is not None and hour > oldest)
    is_over = hour < last  # the rolling up goes on from the last hour
    stored = {
        (row.partner, row.data_type, row.outcome, row.error_class): row for row in HourStat.objects.filter(hour=hour)
    }
    counted = stats.count_attempts(hour)
    found.looked_at["hours"] += 1
    for group in stored.keys() | counted.keys():
        durations, row = counted.get(group, {}), stored.get(group)
        n, said = sum(durations.values()), row.count if row else 0
        is_same = n == said and (row is None or row.durations == durations)
        if is_same or (n > said and not is_over) or (n <= said and not is_whole):
            continue
        found.mend(Kind.HOUR, partial(_write, hour, group, durations), hour=hour.isoformat(), group="/".join(group))


def _write(hour: datetime, group: stats.Group, durations: dict[str, int]) -> bool:
    if durations:
        stats.write_hour(hour, group, durations)
    else:
        partner, data_type, outcome, error_class = group
        HourStat.objects.filter(
            hour=hour, partner=partner, data_type=data_type, outcome=outcome, error_class=error_class
        ).delete()
    return True


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
