"""Nudges: the only place that sends Celery messages, by name. A nudge that is lost costs a tick, nothing else.

Sending happens in one background thread of the process, so that no request ever waits for the broker; nudges of one
partner that wait to be sent become one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

PUSH = "dataunion.push"

log = logging.getLogger(__name__)
_sender = ThreadPoolExecutor(1, thread_name_prefix="nudge")
_waiting: set[tuple[str, str]] = set()
_later: dict[tuple[str, str], tuple[float, threading.Timer]] = {}  # until when each waits
_lock = threading.Lock()


def nudge(partners: Iterable[tuple[str, str]], *, times: int = 1) -> None:
    """Tell workers, once this transaction is committed, that (partner name, queue) may have due work.

    More than one of `times` wakes as many workers.
    """
    wanted = set(partners)
    transaction.on_commit(lambda: _enqueue(wanted, times))


def nudge_later(partner: str, queue: str, after_s: float) -> None:
    """Tell workers after a while. The earliest of a partner's is enough, since whoever comes looks what is next.

    A process that ends before loses it, and the next tick nudges.
    """
    at, timer = time.monotonic() + after_s, threading.Timer(after_s, _send_later, (partner, queue))
    timer.daemon = True
    with _lock:
        waits_until, earlier = _later.get((partner, queue), (at, None))
        if waits_until < at:
            return
        if earlier:
            earlier.cancel()
        _later[partner, queue] = (at, timer)
    timer.start()


def _send_later(partner: str, queue: str) -> None:
    with _lock:
        _later.pop((partner, queue), None)
    _enqueue({(partner, queue)}, 1)


def _enqueue(wanted: set[tuple[str, str]], times: int) -> None:
    with _lock:
        fresh = wanted - _waiting
        _waiting.update(fresh)
    for partner, queue in fresh:
        for _ in range(times):
            _sender.submit(_send, partner, queue)


def _send(partner: str, queue: str) -> None:
    with _lock:
        _waiting.discard((partner, queue))
    send_now(partner, queue)


def send_now(partner: str, queue: str) -> bool:
    """Send one nudge; say whether the broker took it."""
    try:
        current_app.send_task(PUSH, args=[partner], queue=queue, retry=False, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("nudge.lost", extra={"partner": partner, "cause": type(error).__name__})
        return False
    return True
