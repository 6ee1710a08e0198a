"""A broker in the test's own process: what was sent is read from its queues."""

from __future__ import annotations

from celery import Celery
from kombu import Connection

from dataunion.sync import dispatch

QUEUES = ("sync.fake", "dataunion")


def in_memory() -> Celery:
    """Return a Celery app that sends to queues in this process."""
    return Celery("nudges", broker="memory://localhost", set_as_current=False)


class Nudges:
    """Reads what has been sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        for queue in QUEUES:
            connection.SimpleQueue(queue).close()
        self.sent()

    def sent(self) -> list[tuple[str, str]]:
        """Return (partner, queue) of each nudge since the last call, by queue."""
        dispatch._sender.submit(lambda: None).result(30)  # behind what waits to be sent
        found = []
        with self._connection.channel() as channel:
            for queue in QUEUES:
                while message := channel.basic_get(queue, no_ack=True):
                    found.append((message.decode()[0][0], queue))
        return found
