"""How many jobs of a partner may start now. Held for a moment by one worker at a time, so that limits hold.

The gate is a short lease in the partner's row. Whoever holds it counts in-flight places, spends rate tokens and
takes the half-open probe; one that dies holding it is waited for five seconds.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q

from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import NEVER, Partner, SyncJob, has_ended
from dataunion.state import PartnerState, Status
from partners.breaker import Breaker

_HELD_S = 5.0
_PATIENCE_S = 1.0
_SHORTEST_S, _LONGEST_S = 0.001, 0.01  # between two tries


@dataclass
class Gate:
    """The partner's row while it is held; what is changed here is stored when it is let go."""

    row: Partner
    now: datetime

    def places(self, wanted: int) -> int:
        """Return how many jobs may be claimed now."""
        row = self.row
        if row.state != PartnerState.ON or row.wants_peace(self.now):
            return 0
        running = SyncJob.objects.held(self.now).filter(partner=row.name, status=Status.RUNNING).count()
        wanted = min(wanted, max(0, row.max_in_flight - running))
        return min(wanted, Breaker.load(row.breaker).admits(self.now, wanted, running), self._tokens())

    def _tokens(self) -> int:
        """Refill by the time that passed, to one second's worth at most."""
        row = self.row
        if not row.per_second:
            return 1_000_000
        elapsed_s = max(0.0, (self.now - row.rate_at).total_seconds())  # a clock may go back
        row.rate_tokens = min(max(1.0, row.per_second), row.rate_tokens + elapsed_s * row.per_second)
        row.rate_at = self.now
        return int(row.rate_tokens)

    def spend(self, claimed: int, by: str) -> None:
        """Note that so many jobs were claimed under the lease token `by`."""
        if self.row.per_second:
            self.row.rate_tokens -= claimed
        if claimed:
            self.row.breaker = Breaker.load(self.row.breaker).probe_taken(self.now, by).dump()

    def report(self, successes: int, failures: int, by: str) -> None:
        """Tell the breaker how calls to the partner went, made under the lease token `by`."""
        self.row.breaker = Breaker.load(self.row.breaker).record(self.now, successes, failures, by).dump()

    def report_unreached(self) -> None:
        """Tell the breaker that the partner could not even be asked how it is."""
        self.row.breaker = Breaker.load(self.row.breaker).unreached(self.now).dump()


@contextmanager
def hold(name: str) -> Iterator[Gate | None]:
    """Hold the partner's gate; None when another worker kept it too long (the next nudge tries again)."""
    token, give_up_at, pause_s = secrets.token_hex(16), time.monotonic() + _PATIENCE_S, _SHORTEST_S
    while not _take(name, token):
        if time.monotonic() > give_up_at:
            yield None
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_S)
    gate = Gate(row=Partner.objects.get(name=name), now=db_now())
    try:
        yield gate
    finally:
        row = gate.row
        Partner.objects.filter(name=name, gate_token=token).update(
            gate_token="",
            gate_until=NEVER,
            rate_tokens=row.rate_tokens,
            rate_at=row.rate_at,
            breaker=row.breaker,
        )


def _take(name: str, token: str) -> bool:
    now = db_now()
    until = now + timedelta(seconds=_HELD_S)
    free = Partner.objects.filter(has_ended("gate_until", now, lasts_s=_HELD_S), name=name)
    return free.update(gate_token=token, gate_until=until) == 1


def ask_for_peace(name: str, until: datetime) -> None:
    """Send nothing to this partner before `until`; a later time that is already set stays, if it can be true."""
    too_late = until + timedelta(seconds=conf().sync_retry_after_cap_s)
    Partner.objects.filter(Q(not_before__lt=until) | Q(not_before__gt=too_late), name=name).update(not_before=until)


def realign(ahead: timedelta, now: datetime) -> None:
    """Bring nearer until when partners are left in peace: it was written by a clock that ran so much ahead."""
    Partner.objects.filter(not_before__gt=now).update(not_before=F("not_before") - ahead)


def admits(row: Partner) -> bool:
    """Say whether a worker may speak to this partner at all now, as far as its row tells."""
    now = db_now()
    return row.state == PartnerState.ON and not row.wants_peace(now) and Breaker.load(row.breaker).admits(now, 1) > 0


def read_breaker(name: str) -> Breaker:
    """Return the partner's breaker as it is stored now."""
    return Breaker.load(Partner.objects.values_list("breaker", flat=True).get(name=name))
