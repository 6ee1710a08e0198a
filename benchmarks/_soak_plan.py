"""What happens when in a soak: everything is drawn from the seed before anything starts, so that a seed replays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

# Acts on processes, broker, database, chain, and by staff: seconds between two of a kind. Each happens once at least.
EVERY_S: Mapping[str, float] = {
    "SIGKILL of a worker": 23.0,
    "SIGTERM of a worker (a deploy)": 41.0,
    "SIGKILL of the web server": 97.0,
    "broker emptied": 37.0,
    "broker's messages five times": 29.0,
    "broker stopped": 83.0,
    "database locked": 67.0,
    "beat silent": 71.0,
    "second beat": 89.0,
    "worker with a clock an hour off": 61.0,
    "reorg of two blocks": 31.0,
    "transaction dropped from the mempool": 23.0,
    "contract paused": 73.0,
    "retry run by staff": 19.0,
    "retry of one by staff": 11.0,
    "reported lost by staff": 9.0,
    "partner paused by staff": 59.0,
    "handed in again by the client": 3.0,
}
RATE = 0.1  # of the requests at a boundary, shared by its kinds

# Boundary: kinds of faults there, with the fields beside times, skip and every. Subjects are keys, ids, methods.
_FLAKY: Mapping[str, Any] = {"per_subject": 2}
BOUNDARIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "s3 put": {
        "put_429": {"seconds": 1},
        "put_500": _FLAKY,
        "put_503_slowdown": _FLAKY,
        "put_timeout": {"seconds": 6},
        "put_lost_response": _FLAKY,
        "put_reset": _FLAKY,
        "wrong_etag": {},
        "flip_byte": {},
        "html_200": {},
    },
    "s3 head": {"head_404": {}},
    "hook": {
        "hook_429": {"seconds": 1},
        "hook_500": _FLAKY,
        "hook_timeout": {"seconds": 6},
        "hook_lost_response": _FLAKY,
        "hook_html_200": {},
    },
    "rpc": {
        "rpc_429": {"seconds": 1, "per_subject": 1_000_000},
        "rpc_500": {"per_subject": 1_000_000},
        "rpc_behind": {"seconds": 2, "per_subject": 1_000_000},
    },
    "broadcast": {"broadcast_lost_response": {}, "broadcast_dropped": {}},
    "tee": {"runproof_500": {}, "runproof_timeout": {"seconds": 6}, "runproof_lost_response": {}},
    "refiner": {"refine_500": {}, "refine_failed": {}, "refine_lost_response": {}},
}
_OF_ALL = ("s3 put", "s3 head", "hook", "rpc")  # the others see check-ins only
_SELDOM: Mapping[str, int] = {"rpc": 4}  # one record makes some dozens of calls there


@dataclass(frozen=True, order=True)
class Event:
    """One act: so many seconds after the start. `draw` decides what is chosen for it, 0 to 1."""

    at_s: float
    act: str
    draw: float


def plan_acts(random: Random, lasts_s: float) -> list[Event]:
    """Return every act of the soak, in order of time."""
    events = [event for act, every_s in EVERY_S.items() for event in _repeat(random, act, every_s, lasts_s)]
    return sorted(events)


def _repeat(random: Random, act: str, every_s: float, lasts_s: float) -> Iterator[Event]:
    at_s = min(every_s, lasts_s / 2) * random.uniform(0.5, 1.0)
    while at_s < lasts_s:
        yield Event(at_s, act, random.random())
        at_s += every_s * random.uniform(0.6, 1.4)


def plan_faults(random: Random, records: int, checkins: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (boundary, fields of the fault) so that one request in ten meets one, and each kind its share.

    Where there are too few records for that, each kind comes as often as once.
    """
    for boundary, kinds in BOUNDARIES.items():
        requests = records if boundary in _OF_ALL else checkins
        every = max(1, min(round(len(kinds) / RATE) * _SELDOM.get(boundary, 1), requests))
        for kind, fields in kinds.items():
            skip = random.randrange(every)
            yield boundary, {"kind": kind, "times": 1_000_000, "every": every, "skip": skip, **fields}


def plan_records(random: Random, count: int, lasts_s: float, checkin_every: int) -> list[tuple[float, str]]:
    """Return (seconds after the start, data type) of each record, evenly over nine tenths of the time."""
    pour_s = lasts_s * 0.9
    return [
        (pour_s * (number + random.random()) / count, "checkin" if number % checkin_every == 0 else "health")
        for number in range(count)
    ]
