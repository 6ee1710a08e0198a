"""Does the partner live? What its answers to one chunk say: told to the breaker at the end, heeded at once.

A job counts once: well when a step of it was answered, badly as soon as one was not. `hear` is called by the threads
that ask; everything else, and the database, is the task's own thread's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from dataunion import gate
from dataunion.clock import db_now
from dataunion.sync.decisions import is_limit, peace_s
from partners.base import Rewind
from partners.breaker import CLOSED
from partners.errors import MisconfiguredError, NotReady, PermanentError, TransientError, UnknownOutcome


class Pulse:
    """What one chunk knows of its partner; `is_over` once no further call should be begun."""

    def __init__(self, partner: str, token: str) -> None:
        self._partner, self._token = partner, token
        self._lock = threading.Lock()
        self._is_well: dict[UUID, bool] = {}
        self._peace_s = 0.0
        self._now, self._breaker = db_now(), gate.read_breaker(partner)
        self.is_over = self._is_told = False

    def hear(self, pk: UUID, answer: Any, *, asked: bool) -> None:
        """Take in what a step of a job came to; `asked` is False where the step asks the partner nothing."""
        with self._lock:
            if isinstance(answer, TransientError) and is_limit(answer):
                self._peace_s = max(self._peace_s, peace_s(answer))
            elif isinstance(answer, TransientError | UnknownOutcome):
                self._is_well[pk] = False
            elif asked and _shows_life(answer):
                self._is_well.setdefault(pk, True)
            if isinstance(answer, MisconfiguredError) or self._peace_s or self._is_shut():
                self.is_over = True

    def _is_shut(self) -> bool:
        """Say whether this chunk met trouble, and the breaker is open or will be once it is told."""
        well, unwell = self._counts()
        if not unwell:
            return False
        state = self._breaker.record(self._now, well, unwell, self._token).state(self._now)
        # Beside this chunk's own count a few calls prove nothing: the chunk is judged once more at its end.
        is_judged = well + unwell >= self._breaker.policy.min_calls or self._breaker.open_until is not None
        return is_judged and state != CLOSED

    def heed(self) -> None:
        """Let all workers know at once of the peace that was asked for, and look what they found meanwhile."""
        with self._lock:
            asked_s, self._peace_s = self._peace_s, 0.0
        now, breaker = db_now(), gate.read_breaker(self._partner)
        if asked_s:
            gate.ask_for_peace(self._partner, now + timedelta(seconds=asked_s))
        with self._lock:
            self._now, self._breaker = now, breaker
            self.is_over = self.is_over or self._is_shut()

    def report(self, held: gate.Gate) -> None:
        """Tell the breaker; a probe that came to nothing is handed back."""
        self._is_told = True
        held.report(*self._counts(), self._token)

    def report_now(self) -> None:
        """Tell it where no claim did, which holds the gate anyway."""
        if self._is_told:
            return
        with gate.hold(self._partner) as held:
            if held:
                self.report(held)

    def _counts(self) -> tuple[int, int]:
        well = sum(self._is_well.values())
        return well, len(self._is_well) - well


def _shows_life(answer: Any) -> bool:
    if isinstance(answer, PermanentError):
        return bool(answer.http_status or answer.code)
    return isinstance(answer, NotReady | Rewind | Mapping)
