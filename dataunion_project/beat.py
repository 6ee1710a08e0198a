"""Celery's beat, without a file, and not held up by a clock that is set back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from celery.beat import Scheduler

from dataunion_project import alive


class Clockwork(Scheduler):  # type: ignore[misc]
    """What runs every few seconds needs no memory of when it ran last: no full disk can stop it."""

    _seen = datetime.min.replace(tzinfo=UTC)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until something is.

        All times are forgotten when this machine's clock went back, or nothing would be due until it came to them.
        """
        now = self.app.now()
        if now < self._seen:
            for entry in self.schedule.values():
                entry.last_run_at = now
            self._heap = None
        self._seen = now
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Hand one message to the broker, and show that it was taken."""
        sent = super().apply_async(*args, **kwargs)
        alive.touch()
        return sent
