"""The fault switches that every sandbox server shares: armed over HTTP or in code, taken by the server, counted.

A server asks `faults.take({"put_500", "put_429"}, subject=key)` where it could misbehave, and does so if it gets one.
Over HTTP each sandbox answers `GET /_sandbox/faults` (counts by kind), `POST /_sandbox/faults` (arm, a JSON object
with the fields of Fault) and `GET /_sandbox/log` (what it was asked, oldest first).
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(kw_only=True)
class Fault:
    """One armed fault: `times` in all, at most `per_subject` for one subject (an object key, a tx hash, a URL)."""

    kind: str
    times: int = 1
    skip: int = 0  # let this many matching requests pass first
    every: int = 1  # then hit one request in so many
    per_subject: int = 1
    match: str = ""  # regular expression over the subject
    seconds: float = 0.0  # for delays and Retry-After
    text: str = ""  # Retry-After as it stands, a line for each header; where a redirect leads


class Faults:
    """A thread-safe switchboard of armed faults and a count of those injected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._hits: dict[tuple[int, str], int] = defaultdict(int)
        self._seen: dict[int, int] = defaultdict(int)
        self._counts: Counter[str] = Counter()

    def arm(self, fault: Fault) -> None:
        """Add a fault; its count starts at 0 so that one never injected is seen as 0."""
        with self._lock:
            self._armed.append(fault)
            self._counts.setdefault(fault.kind, 0)

    def disarm(self) -> None:
        """Let every armed fault go; counts stay."""
        with self._lock:
            self._armed.clear()
            # What is counted goes by an object's id, which the next one may have again.
            self._hits.clear()
            self._seen.clear()

    def take(self, kinds: Collection[str], subject: str = "") -> Fault | None:
        """Return the fault to commit for this request, counted as injected, or None."""
        with self._lock:
            for fault in self._armed:
                if fault.kind in kinds and self._is_due(fault, subject):
                    fault.times -= 1
                    self._hits[id(fault), subject] += 1
                    self._counts[fault.kind] += 1
                    return fault
        return None

    def _is_due(self, fault: Fault, subject: str) -> bool:
        if fault.times <= 0 or not re.search(fault.match, subject):
            return False
        if self._hits[id(fault), subject] >= fault.per_subject:
            return False
        self._seen[id(fault)] += 1
        seen = self._seen[id(fault)] - fault.skip
        return seen > 0 and (seen - 1) % fault.every == 0

    def counts(self) -> dict[str, int]:
        """Return how often each kind was injected."""
        with self._lock:
            return dict(self._counts)
