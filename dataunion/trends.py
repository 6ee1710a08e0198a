"""What happened over time: attempts by outcome, how many were synced, how long they took.

Days and hours come from the hours' statistics, which upkeep writes every minute; the last hour from the attempts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from dataunion.models import HourStat, SyncAttempt
from dataunion.state import Outcome
from dataunion.stats import BOUNDS_MS, find_bound

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NEWEST = 5000  # so many attempts are read at most
_LATER = (Outcome.TRANSIENT, Outcome.LIMITED, Outcome.UNKNOWN)  # tried again by itself
_Row = tuple[datetime, str, str, Mapping[str, int]]  # when, partner, outcome, durations


@dataclass(frozen=True, kw_only=True)
class Window:
    """How far back figures reach, and how long each of their steps is."""

    words: str
    span: timedelta
    step: timedelta

    def starts(self, now: datetime) -> list[datetime]:
        """Return when each step begins, in whole steps of UTC; the last one is not over yet."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        last = midnight + (now - midnight) // self.step * self.step
        count = self.span // self.step
        return [last - self.step * back for back in reversed(range(count))]


WINDOWS: Mapping[str, Window] = {
    "1h": Window(words="hour", span=_HOUR, step=timedelta(minutes=5)),
    "24h": Window(words="24 hours", span=_DAY, step=_HOUR),
    "7d": Window(words="7 days", span=7 * _DAY, step=_DAY),
    "30d": Window(words="30 days", span=30 * _DAY, step=_DAY),
}


@dataclass
class Tally:
    """Attempts counted by outcome and by the bound of their duration."""

    outcomes: Counter[str] = field(default_factory=Counter)
    durations: Counter[str] = field(default_factory=Counter)

    @property
    def attempts(self) -> int:
        """Return how many there were."""
        return self.outcomes.total()

    @property
    def synced(self) -> int:
        """Return how many brought a record to its partner."""
        return self.outcomes[Outcome.SYNCED]

    @property
    def later(self) -> int:
        """Return how many are tried again by themselves."""
        return sum(self.outcomes[outcome] for outcome in _LATER)

    @property
    def failed(self) -> int:
        """Return how many ended in any other way."""
        return self.attempts - self.synced - self.later

    def add(self, outcome: str, durations: Mapping[str, int]) -> None:
        """Count attempts of one outcome."""
        self.outcomes[outcome] += sum(durations.values())
        self.durations.update(durations)

    def merge(self, other: Tally) -> None:
        """Count what another has counted."""
        self.outcomes.update(other.outcomes)
        self.durations.update(other.durations)

    def lasts_at_most(self, per_cent: int) -> float | None:
        """Return the bound in ms within which so many attempts ended; infinite above the last; None without any."""
        rank = -(-self.durations.total() * per_cent // 100)
        if not rank:
            return None
        for bound in BOUNDS_MS:
            rank -= self.durations[str(bound)]
            if rank <= 0:
                return bound
        return math.inf


@dataclass
class Trends:
    """The steps of a window, each with a tally per partner."""

    starts: list[datetime]
    since: datetime  # later than the first start where there were too many attempts to read
    until: datetime
    partners: dict[str, list[Tally]] = field(default_factory=dict)

    @property
    def is_cut(self) -> bool:
        """Say whether there were too many attempts to read them all."""
        return self.since > self.starts[0]

    def steps(self, partner: str) -> list[Tally]:
        """Return a partner's tallies, one for each start."""
        return self.partners.get(partner) or [Tally() for _ in self.starts]

    def whole(self, partner: str) -> Tally:
        """Return a partner's tally over all steps."""
        return _sum(self.steps(partner))

    def all_partners(self) -> list[Tally]:
        """Return the tallies of all partners together, one for each start."""
        return [_sum(steps[n] for steps in self.partners.values()) for n in range(len(self.starts))]

    def synced_per_hour(self, partner: str) -> float:
        """Return how many records an hour were synced on average."""
        return self.whole(partner).synced / max((self.until - self.since) / _HOUR, 1 / 3600)

    def fill(self, rows: Iterable[_Row]) -> None:
        """Count rows into the steps to which they belong."""
        step = self.starts[1] - self.starts[0]
        for at, partner, outcome, durations in rows:
            place = min((at - self.starts[0]) // step, len(self.starts) - 1)
            if partner not in self.partners:
                self.partners[partner] = [Tally() for _ in self.starts]
            self.partners[partner][place].add(outcome, durations)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def read_trends(window: Window, now: datetime) -> Trends:
    """Return what happened in a window; costs hours, or at most the newest 5,000 attempts of the last hour."""
    starts = window.starts(now)
    trends = Trends(starts=starts, since=starts[0], until=now)
    if window.step >= _HOUR:
        trends.fill(_read_hours(starts[0]))
        return trends
    rows = list(_read_attempts(starts[0]))
    if len(rows) == _NEWEST:
        trends.since = rows[-1][0]
    trends.fill(rows)
    return trends


def _read_hours(since: datetime) -> Iterator[_Row]:
    rows = HourStat.objects.filter(hour__gte=since).order_by()
    yield from rows.values_list("hour", "partner", "outcome", "durations").iterator(2000)


def _read_attempts(since: datetime) -> Iterator[_Row]:
    rows = SyncAttempt.objects.filter(created_at__gte=since).order_by("-created_at")
    for at, partner, outcome, ms in rows.values_list("created_at", "partner", "outcome", "duration_ms")[:_NEWEST]:
        yield at, partner, outcome, {find_bound(ms): 1}


def count_synced(now: datetime) -> dict[str, int]:
    """Return how many records each partner got in this hour and the 23 before."""
    rows = HourStat.objects.filter(hour__gte=WINDOWS["24h"].starts(now)[0], outcome=Outcome.SYNCED)
    return dict(rows.values_list("partner").annotate(n=Sum("count")).order_by())
