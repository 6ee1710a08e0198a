"""The broker, and who is connected to it: it knows by itself, so Celery's control channel is not asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import redis
from django.conf import settings

from dataunion import roster
from dataunion.diagnosis.findings import Finding, ok, problem, show_s, warning
from dataunion.state import PartnerState

CLOCK = "dataunion"
_PATIENCE_S = 3.0
_SILENT_S = 300.0  # a worker in the middle of a task says nothing
_MANY = 1000
_WORKER, _BEAT = "dataunion:worker:", "dataunion:beat:"  # dataunion_project.alive gives these names


def look() -> Iterator[Finding]:
    """Ask the broker for itself, its queues and its clients."""
    queues = sorted({CLOCK, *(roster.queue(row) for row in roster.find_partners() if row.state == PartnerState.ON)})
    with redis.Redis.from_url(
        settings.BROKER_URL, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S
    ) as client:
        try:
            version = client.info("server").get("redis_version", "of an unknown version")
            waiting = {queue: int(client.llen(queue)) for queue in queues}
        except redis.RedisError as error:
            said = f"no answer ({type(error).__name__}): work waits, nothing is lost"
            yield problem("broker", said, "start Redis, or mend REDIS_URL")
            return
        yield ok("broker", f"{version}, reachable")
        try:
            clients: list[dict[str, Any]] = client.client_list()
        except redis.RedisError:
            remedy = "allow CLIENT LIST, or look at the processes by hand"
            yield warning("workers", "the broker does not tell who is connected", remedy)
            return
    yield judge_beats(_idle(clients, _BEAT))
    for queue in queues:
        yield judge_queue(queue, waiting[queue], find_workers(_idle(clients, _WORKER), queue))


def _idle(clients: Iterable[Mapping[str, Any]], begins: str) -> dict[str, float]:
    """Return for each process of this kind the seconds since it last spoke, by the rest of its name."""
    idle: dict[str, float] = {}
    for client in clients:
        name = str(client.get("name", ""))
        if name.startswith(begins):
            rest = name.removeprefix(begins)
            idle[rest] = min(idle.get(rest, float("inf")), float(client["idle"]))
    return idle


def find_workers(idle: Mapping[str, float], queue: str) -> dict[str, float]:
    """Return those that take messages of a queue; names are `queue,queue:node`."""
    return {name: s for name, s in idle.items() if queue in name.partition(":")[0].split(",")}


def judge_beats(idle: Mapping[str, float]) -> Finding:
    """Judge how many beats there are, and whether they speak."""
    if not idle:
        return problem("beats", "none is connected: nothing is due on time", "start one or two (docs/operations.md)")
    if len(idle) == 1:
        return ok("beats", "1 connected; a second one would take over at once where it stops")
    return ok("beats", f"{len(idle)} connected")


def judge_queue(queue: str, waiting: int, workers: Mapping[str, float]) -> Finding:
    """Judge who works for a queue."""
    check = f"queue {queue}"
    if not workers:
        said = f"no worker listens; {waiting} messages wait"
        return problem(check, said, f"start one: celery -A dataunion_project worker -Q {queue} (docs/operations.md)")
    quiet = [s for s in workers.values() if s > _SILENT_S]
    said = f"{len(workers)} worker{'s' if len(workers) > 1 else ''}, {waiting} messages wait"
    if quiet:
        remedy = "look at its log; stop it if it hangs: its work is taken over"
        return warning(check, f"{said}, {len(quiet)} silent for {show_s(max(quiet))}", remedy)
    if waiting > _MANY:
        return warning(check, f"{said}, more than they take", "start more of them")
    return ok(check, said)
