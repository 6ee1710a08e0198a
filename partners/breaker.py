"""A circuit breaker as a value: closed, open, half-open. Pure; the engine keeps it in the partner's row.

Only transient failures count: timeouts, lost connections, 5xx. Whatever else the partner answers shows that it lives
and is recorded as a success, be it a refusal or "not yet"; our own bugs are not recorded at all.
A breaker pauses, it never drops: what it does not admit stays due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
_WINDOW_PARTS = 6  # the window slides in steps of a sixth, so that a row holds seven counts and not every call


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to open and how to come back."""

    ratio: float = 0.5  # failures among the calls of the window
    min_calls: int = 10
    window_s: float = 60.0
    open_s: float = 30.0  # doubled at each failed probe
    max_open_s: float = 600.0
    probe_s: float = 60.0  # a probe that has not reported by then is taken for lost
    full_pace: int = 256  # past this many at once, draining is over


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """All times are seconds since the epoch, so that the stored form is plain JSON.

    Stored: {"window": [[1700000000.0, 7, 3]], "open_until": null, "probe_until": null, "probe_by": "", "pace": null,
    "trips": 0}
    """

    policy: Policy = field(default_factory=Policy)
    window: tuple[tuple[float, int, int], ...] = ()  # (start of the part, successes, failures), oldest first
    open_until: float | None = None  # None when closed
    probe_until: float | None = None  # None when no probe is out
    probe_by: str = ""  # who has the probe; nobody else's report says how it went
    pace: int | None = None  # how many at once while draining after an outage; None when unlimited
    trips: int = 0  # openings since the partner last worked at full pace

    @classmethod
    def load(cls, stored: Mapping[str, Any] | None, policy: Policy | None = None) -> Breaker:
        """Return what `dump` stored; nothing stored is a closed breaker."""
        known = {"window", "open_until", "probe_until", "probe_by", "pace", "trips"}
        values = {key: value for key, value in (stored or {}).items() if key in known}
        values["window"] = tuple((float(at), int(good), int(bad)) for at, good, bad in values.get("window", ()))
        return cls(policy=policy or Policy(), **values)

    def dump(self) -> dict[str, Any]:
        """Return the state as plain JSON; the policy is configuration and stays out."""
        return {
            "window": [list(part) for part in self.window],
            "open_until": self.open_until,
            "probe_until": self.probe_until,
            "probe_by": self.probe_by,
            "pace": self.pace,
            "trips": self.trips,
        }

    def state(self, now: datetime) -> str:
        """Return closed, open or half_open."""
        if self.open_until is None:
            return CLOSED
        # An end further away than any opening lasts was written by a clock that ran ahead.
        left_s = self.open_until - now.timestamp()
        return OPEN if 0 < left_s <= self.policy.max_open_s else HALF_OPEN

    def reopens_at(self) -> datetime | None:
        """Return when the next probe is admitted, for staff to see; None when closed."""
        return None if self.open_until is None else datetime.fromtimestamp(self.open_until, UTC)

    def away_s(self, now: datetime) -> float:
        """Return for how long it has been open at least, since the partner last worked at full pace; 0 when closed."""
        if self.open_until is None:
            return 0.0
        lasted_s = sum(self._lasts_s(trip) for trip in range(self.trips))
        return max(0.0, lasted_s + now.timestamp() - self.open_until)

    def admits(self, now: datetime, wanted: int, running: int = 0) -> int:
        """Return how many of `wanted` jobs may be sent now, beside those that are; then call `probe_taken`."""
        state = self.state(now)
        if state == CLOSED:
            return wanted if self.pace is None else min(wanted, max(0, self.pace - running))
        if state == OPEN or running or self._probe_is_out(now):
            return 0
        return min(wanted, 1)

    def probe_taken(self, now: datetime, by: str = "") -> Breaker:
        """Note that jobs were claimed; when half-open that was the probe, and there is no second until it reports."""
        if self.state(now) != HALF_OPEN:
            return self
        return replace(self, probe_until=now.timestamp() + self.policy.probe_s, probe_by=by)

    def record(self, now: datetime, successes: int, failures: int, by: str = "") -> Breaker:
        """Return the breaker after a chunk reported; (0, 0) hands a probe back unused."""
        if self.open_until is not None:
            return self._after_probe(now, successes, failures, by)
        counted = self._counted(now.timestamp(), successes, failures)
        if counted._is_too_bad(successes, failures):
            return counted._opened(now)
        return counted._faster() if successes and not failures else counted

    def unreached(self, now: datetime) -> Breaker:
        """Return the breaker after the partner could not even be asked how it is: the second time opens it."""
        if self.state(now) == HALF_OPEN:
            return self._opened(now)
        return self.record(now, 0, -(-self.policy.min_calls // 2))

    def _after_probe(self, now: datetime, successes: int, failures: int, by: str) -> Breaker:
        if self.probe_until is None or by != self.probe_by:  # a straggler from before says nothing about now
            return self
        if failures:
            return self._opened(now)
        if successes:
            return replace(self, open_until=None, probe_until=None, probe_by="", pace=1, window=())
        return replace(self, probe_until=None, probe_by="")

    def _probe_is_out(self, now: datetime) -> bool:
        return self.probe_until is not None and 0 < self.probe_until - now.timestamp() <= self.policy.probe_s

    def _counted(self, now_s: float, successes: int, failures: int) -> Breaker:
        part_s = self.policy.window_s / _WINDOW_PARTS
        start = now_s - now_s % part_s
        kept = {at: (good, bad) for at, good, bad in self.window if now_s - self.policy.window_s < at <= now_s}
        good, bad = kept.get(start, (0, 0))
        kept[start] = (good + successes, bad + failures)
        return replace(self, window=tuple((at, *counts) for at, counts in sorted(kept.items())))

    def _is_too_bad(self, successes: int, failures: int) -> bool:
        """Judge the window; while draining judge each chunk, since one bad chunk shows that it was too early."""
        good, bad = sum(part[1] for part in self.window), sum(part[2] for part in self.window)
        enough = good + bad >= self.policy.min_calls
        if self.pace is not None:
            good, bad, enough = successes, failures, True
        return enough and bad > 0 and bad >= self.policy.ratio * (good + bad)

    def _opened(self, now: datetime) -> Breaker:
        end = now.timestamp() + self._lasts_s(self.trips)
        return Breaker(policy=self.policy, open_until=end, trips=self.trips + 1)

    def _lasts_s(self, trips: int) -> float:
        return min(self.policy.open_s * 2.0 ** min(trips, 30), self.policy.max_open_s)

    def _faster(self) -> Breaker:
        if self.pace is None:
            return self
        pace = self.pace * 2
        return replace(self, pace=pace) if pace <= self.policy.full_pace else replace(self, pace=None, trips=0)
