"""The whole system inside this process: real adapters, the doubles of all partners over sockets, time moved in rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from dataunion import ingest
from dataunion.clock import db_now
from dataunion.models import NEVER, DataUnion, Partner, SyncAttempt, SyncJob
from dataunion.state import CLAIMABLE, FAILING, Status
from dataunion.sync import engine
from dataunion.sync.tick import tick, upkeep
from partners.breaker import Breaker
from tests.faults.elapse import elapse
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated
from tests.flows.sandboxes import Sandboxes

PARTNERS = ("akave", "vana", "hook")
PATIENCE_S = 180.0  # an overloaded machine is slow; nothing that is judged takes as long
_STEP_S = 0.3  # of the time that passes between two looks, so that a chain goes on meanwhile


def register(data_id: str, data_type: str = "health", **payload: Any) -> DataUnion:
    """Hand in a record whose data holds the marker."""
    body = json.dumps({"note": MARKER, "about": data_id, **payload}).encode()
    return ingest.register_record(user_hash="user-1", data_type=data_type, data_id=data_id, payload=body).record


class Union:
    """What the tests ask of it, in the words of the work."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self.sandboxes = sandboxes

    def hand_in(self, data_id: str = "one", data_type: str = "health", **payload: Any) -> DataUnion:
        """Hand in a record whose data holds the marker; due at once everywhere."""
        record = register(data_id, data_type, **payload)
        SyncJob.objects.filter(record=record).update(due_at=db_now() - timedelta(seconds=1))
        return record

    def push(self, *partners: str) -> int:
        """Be one worker of each of these partners until nothing is due; return how many jobs were taken."""
        return sum(engine.push(partner) for partner in partners)

    def tick(self) -> None:
        """Be the clock, once."""
        tick()

    def upkeep(self) -> None:
        """Be the clock of the slow work, once."""
        upkeep()

    def settle(self, *partners: str, until: Callable[[], Any] | None = None) -> None:
        """Tick, work and let time pass until `until` holds, or nothing but final work is open."""
        wanted = partners or PARTNERS
        is_over = until or (lambda: not self.open_work(*wanted))
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            self.tick()
            self.push(*wanted)
            if is_over():
                return
            assert time.monotonic() < give_up_at, f"still open after {PATIENCE_S} s: {self.open_work(*wanted)}"
            self.wait_for_next(*wanted)

    def open_work(self, *partners: str) -> list[tuple[Any, ...]]:
        """Return what is open and not final, as a failing test tells it; the first 20."""
        final = (Status.FAILED, Status.BLOCKED)
        rows = SyncJob.objects.filter(partner__in=partners).exclude(status__in=final)
        return list(rows.values_list("partner", "status", "step", "error_message", "due_at")[:20])

    def wait_for_next(self, *partners: str) -> float:
        """Pass the time until something is due, less where a chain has to go on in real time; return the seconds."""
        now = db_now()
        held = SyncJob.objects.filter(lease_until__gt=NEVER).aggregate(at=Min("lease_until"))["at"]
        moments = [moment for moment in (held, *map(_next, Partner.objects.filter(name__in=partners))) if moment]
        wait_s = max(0.0, min((moment - now).total_seconds() for moment in moments)) if moments else 0.0
        passed_s = max(wait_s + 0.01, _STEP_S)
        elapse(passed_s)
        time.sleep(0.02)
        return passed_s

    # what is so

    def entry(self, record: DataUnion, partner: str) -> dict[str, Any]:
        """Return the partner's entry as it is stored."""
        found: dict[str, Any] = DataUnion.objects.get(pk=record.pk).partners[partner]
        return found

    def is_synced(self, record: DataUnion, *partners: str) -> bool:
        """Say whether these partners (all, unless named) have the record."""
        stored = DataUnion.objects.get(pk=record.pk)
        return all(stored.entry(partner).is_synced for partner in partners or PARTNERS)

    def outcomes(self, record: DataUnion, partner: str) -> list[str]:
        """Return how the attempts ended, oldest first."""
        rows = SyncAttempt.objects.filter(record=record, partner=partner).order_by("number")
        return list(rows.values_list("outcome", flat=True))

    def failing(self, partner: str) -> list[SyncJob]:
        """Return the jobs that failed, retry or are blocked."""
        return list(SyncJob.objects.filter(partner=partner, status__in=FAILING).order_by("pk"))

    def evidence(self, **fields: Any) -> Evidence:
        """Return what the oracle looks at."""
        return Evidence(sandboxes=self.sandboxes, **fields)

    def check(self, **fields: Any) -> None:
        """Ask the oracle."""
        assert_nothing_violated(self.evidence(**fields))


def _next(partner: Partner) -> datetime | None:
    """Return when a job of this partner can be claimed: due, and the partner neither at peace nor thought down."""
    jobs = SyncJob.objects.filter(partner=partner.name, status__in=CLAIMABLE)
    due: datetime | None = jobs.aggregate(at=Min("due_at"))["at"]
    shut_until = Breaker.load(partner.breaker).reopens_at() or NEVER
    return due and max(due, partner.not_before, shut_until)
