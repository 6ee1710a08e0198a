"""A thread of every web and worker process that notices when nobody else looks for alerts: the clock may stand.

While upkeep looks every minute it only reads one row. It needs no broker, no beat and no request.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import worker_init

from dataunion.conf import conf

log = logging.getLogger(__name__)
_started = threading.Lock()


class Watch(threading.Thread):
    """Looks from time to time; what started together with this process has its chance first."""

    def __init__(self, *, first_s: float, every_s: float) -> None:
        super().__init__(name="watch", daemon=True)
        self._first_s, self._every_s = first_s, every_s
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until the process ends, or `stop` is called."""
        wait_s = self._first_s
        while not self._stopping.wait(wait_s):
            _look()
            wait_s = self._every_s

    def stop(self) -> None:
        """End it after its present look."""
        self._stopping.set()
        self.join()


def _look() -> None:
    """Look, if nobody else did; what goes wrong is logged by its kind, and tried again."""
    from django.db import connections  # workers have no settings yet when they import this file

    from dataunion.sync import tick

    try:
        tick.alert_if_late()
    except Exception as error:  # the thread must outlive whatever it meets
        log.warning("alerts.watch.failed", extra={"type": type(error).__name__})
    finally:
        connections.close_all()


def keep_watch(**_: Any) -> None:
    """Start this process's watch; a second call does nothing."""
    if _started.acquire(blocking=False):
        every_s = conf().alert_watch_s
        Watch(first_s=4 * every_s, every_s=every_s).start()


def watch_in_workers() -> None:
    """Have every worker keep watch; a beat may live in a network without a way out."""
    worker_init.connect(keep_watch, weak=False)
