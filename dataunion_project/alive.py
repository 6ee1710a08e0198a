"""Signs of life of workers and beats, for whoever watches: a file's time, and a name at the broker.

The file (DATAUNION_ALIVE_FILE) is touched when the process has done its work: a container's health check looks at its
age. By the name the broker itself tells who is connected; no control channel of Celery's is asked.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.signals import beat_init, celeryd_init
from django.conf import settings

_EVERY_S = 10.0
WORKER, BEAT = "dataunion:worker:", "dataunion:beat:"  # dataunion.diagnosis.broker knows these names


def touch() -> None:
    """Say that work was done now; a full disk must stop nobody, and shows by the file's age."""
    if settings.ALIVE_FILE:
        try:
            Path(settings.ALIVE_FILE).touch()
        except OSError:
            return


class SignOfLife(bootsteps.StartStopStep):  # type: ignore[misc]
    """Touches the file from the worker's own loop, which takes messages: it stands still where that does."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Begin once the broker has given the queues; again after each time it was away."""
        touch()
        self._timer = consumer.timer.call_repeatedly(_EVERY_S, touch)

    def stop(self, consumer: Any) -> None:
        """Be silent while there is no broker."""
        self._timer.cancel()


def show(app: Celery) -> None:
    """Have every worker and every beat of this app show that it lives."""
    app.steps["consumer"].add(SignOfLife)
    celeryd_init.connect(_name_worker, weak=False)
    beat_init.connect(_name_beat, weak=False)


def _name_worker(sender: str, conf: Any, options: Any, **_: Any) -> None:
    queues = options.get("queues") or conf.task_default_queue
    _name(conf, f"{WORKER}{queues if isinstance(queues, str) else ','.join(queues)}:{sender}")


def _name_beat(sender: Any, **_: Any) -> None:
    _name(sender.app.conf, f"{BEAT}{socket.gethostname()}:{os.getpid()}")


def _name(conf: Any, name: str) -> None:
    conf.broker_transport_options = {**conf.broker_transport_options, "client_name": name}
