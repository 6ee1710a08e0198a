"""A thread of every process of ours that notices when nobody else looks for alerts: the clock may stand.

While upkeep looks every minute it only reads one row. It needs no broker, no beat and no request.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import beat_init, worker_init

log = logging.getLogger(__name__)
_FIRST_S = 120.0  # what starts together with this process has had its chance by then
_EVERY_S = 30.0
_started = threading.Lock()


def keep_watch(**_: Any) -> None:
    """Start the thread; a second call does nothing."""
    if _started.acquire(blocking=False):
        threading.Thread(target=_watch, name="watch", daemon=True).start()


def _watch() -> None:
    pause = threading.Event()
    wait_s = _FIRST_S
    while not pause.wait(wait_s):
        look_once()
        wait_s = _EVERY_S


def look_once() -> None:
    """Look, if nobody else did; what goes wrong is logged by its kind, and tried again."""
    from django.db import close_old_connections

    from dataunion.sync import tick

    try:
        tick.alert_if_late()
    except Exception as error:  # the thread must outlive whatever it meets
        log.warning("alerts.watch.failed", extra={"type": type(error).__name__})
    finally:
        close_old_connections()


def watch_in_workers() -> None:
    """Have every worker and every beat keep watch."""
    worker_init.connect(keep_watch, weak=False)
    beat_init.connect(keep_watch, weak=False)
