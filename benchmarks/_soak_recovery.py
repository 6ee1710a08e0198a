"""How long the jobs of a killed worker lie before another one has them in hand, or they are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from uuid import UUID

POLL_S = 0.25


@dataclass
class _Held:
    fence: int
    killed_at: float


class Recovery:
    """Watches the rows from a thread of its own. A job is recovered when its fence has risen, or it has ended."""

    def __init__(self) -> None:
        self.amid: list[float] = []  # while other things were broken as well
        self.alone: list[float] = []
        self.seconds = self.amid
        self._open: dict[UUID, _Held] = {}
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recovery")
        self._thread.start()

    def note_kill(self, partner: str, kill: Callable[[], None]) -> int:
        """Kill, then note what the worker of this partner held; return how many jobs."""
        from dataunion.clock import db_now
        from dataunion.models import SyncJob
        from dataunion.state import Status

        kill()
        at = time.monotonic()
        held = SyncJob.objects.filter(partner=partner, status=Status.RUNNING, lease_until__gt=db_now())
        fences = dict(held.values_list("pk", "fence"))
        with self._lock:
            for pk, fence in fences.items():
                # Held by a worker that was killed before: the older time counts.
                if pk not in self._open or self._open[pk].fence != fence:
                    self._open[pk] = _Held(fence, at)
        return len(fences)

    def is_over(self) -> bool:
        """Say whether all that was held is in hand again."""
        with self._lock:
            return not self._open

    def stop(self) -> None:
        """End watching."""
        self._stopping.set()
        self._thread.join()

    def begin_alone(self) -> None:
        """From now on nothing is broken but the workers that are killed."""
        self.seconds = self.alone

    @staticmethod
    def tell(seconds: list[float]) -> str:
        """Return p50 and maximum in words."""
        if not seconds:
            return "no killed worker held a job"
        return f"p50 {median(seconds):.1f} s, max {max(seconds):.1f} s over {len(seconds)} jobs"

    def _watch(self) -> None:
        from django.db import connection

        while not self._stopping.wait(POLL_S):
            self._look()
        connection.close()

    def _look(self) -> None:
        from django.db import DatabaseError

        from dataunion.models import SyncJob

        with self._lock:
            waiting = dict(self._open)
        if not waiting:
            return
        try:
            fences = dict(SyncJob.objects.filter(pk__in=waiting).values_list("pk", "fence"))
        except DatabaseError:  # one of the soak's own faults; the next look counts
            return
        now = time.monotonic()
        for pk, held in waiting.items():
            if fences.get(pk, held.fence + 1) > held.fence:
                self.seconds.append(now - held.killed_at)
                with self._lock:
                    self._open.pop(pk, None)
