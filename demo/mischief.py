"""Faults on the way: armed at the sandboxes, and workers killed while they hold a lease. All of it is counted."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from demo.world import World, worker_of

HOLD_S = 20.0
LABELS = {
    "put_429": "429 with Retry-After",
    "put_500": "500 of a PUT",
    "put_timeout": "timeout of a PUT",
    "put_lost_response": "lost response of a PUT",
    "put_hold": "SIGKILL of a worker after PUT, before save",
    "broadcast_lost_response": "lost response of a broadcast",
    "broadcast_hold": "SIGKILL of a worker after broadcast, before receipt",
}
KILLING = {"put_hold": "akave", "broadcast_hold": "vana"}


@dataclass
class Takeover:
    """The jobs that a killed worker held, and when others had taken them all over."""

    kind: str
    fences: dict[UUID, int]
    killed_at: float
    taken: int = 0
    seconds: float = 0.0
    left: set[UUID] = field(default_factory=set)


class Mischief:
    """Arms the faults, kills the workers, watches the takeovers."""

    def __init__(self, world: World, records: int) -> None:
        self.world, self.records = world, records
        self.takeovers: list[Takeover] = []
        self._holds: Counter[str] = Counter()  # those that were answered by a kill

    def arm(self) -> None:
        """Set the switches; amounts grow with the number of records."""
        few = max(2, self.records // 40)
        s3 = [
            {"kind": "put_429", "times": 2, "skip": 3, "every": 7, "seconds": 1},
            {"kind": "put_500", "times": few, "skip": 1, "every": 5},
            {"kind": "put_lost_response", "times": few, "skip": 5, "every": 6},
            {"kind": "put_timeout", "times": 2, "skip": 7, "every": 9, "seconds": 4},
            {"kind": "put_hold", "times": 1, "skip": max(0, self.records // 3 - 12), "seconds": HOLD_S},
        ]
        for fault in s3:
            _ask(self.world.s3_url, "faults", fault)
        if self.world.chain_url:
            _ask(
                self.world.chain_url, "faults", {"kind": "broadcast_lost_response", "times": few, "skip": 4, "every": 5}
            )
            _ask(self.world.chain_url, "faults", {"kind": "broadcast_hold", "times": 1, "skip": 8, "seconds": HOLD_S})

    def watch(self) -> str | None:
        """Kill the worker whose request is being held, if one is; look after takeovers. Say what happened."""
        killed = {takeover.kind for takeover in self.takeovers}
        for kind, partner in KILLING.items():
            if partner in self.world.partners and kind not in killed and self._is_held(kind):
                return self._kill(kind, partner)
        for takeover in self.takeovers:
            if takeover.left and self._look_after(takeover):
                return (
                    f"the killed worker's work ({_jobs(takeover.taken)}) is taken over, after {takeover.seconds:.1f} s"
                )
        return None

    def _is_held(self, kind: str) -> bool:
        held = [entry for entry in _ask(self._url(kind), "log") if entry.get("fault") == kind]
        return len(held) > self._holds[kind]

    def _url(self, kind: str) -> str:
        return self.world.chain_url if kind.startswith("broadcast") else self.world.s3_url

    def _kill(self, kind: str, partner: str) -> str:
        from dataunion.clock import db_now
        from dataunion.models import SyncJob
        from dataunion.state import Status

        self._holds[kind] += 1
        name = worker_of(partner)
        self.world.processes.kill(name)
        held = SyncJob.objects.filter(partner=partner, status=Status.RUNNING, lease_until__gt=db_now())
        fences = dict(held.values_list("pk", "fence"))
        if fences:
            self.takeovers.append(Takeover(kind, fences, time.monotonic(), left=set(fences)))
        else:  # it was sending again what another worker had signed, before it took jobs into hand
            _ask(self._url(kind), "faults", {"kind": kind, "times": 1, "skip": 2, "seconds": HOLD_S})
        self.world.processes.restart(name)
        again = "" if fences else ", and one that holds some is still to be killed"
        return f"{LABELS[kind]}: it held {_jobs(len(fences))}; started another worker{again}"

    def _look_after(self, takeover: Takeover) -> bool:
        from dataunion.models import SyncJob

        now = dict(SyncJob.objects.filter(pk__in=takeover.left).values_list("pk", "fence"))
        takeover.left = {pk for pk in takeover.left if pk in now and now[pk] <= takeover.fences[pk]}
        takeover.taken = len(takeover.fences) - len(takeover.left)
        takeover.seconds = time.monotonic() - takeover.killed_at
        return not takeover.left

    def counts(self) -> dict[str, int]:
        """Return how often each kind was injected."""
        urls = [url for url in (self.world.s3_url, self.world.chain_url) if url]
        merged: dict[str, int] = {}
        for url in urls:
            merged.update(_ask(url, "faults"))
        return {kind: merged[kind] for kind in LABELS if kind in merged}

    def is_over(self) -> bool:
        """Say whether every takeover that began has ended."""
        return not any(takeover.left for takeover in self.takeovers)


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _ask(url: str, what: str, body: dict[str, Any] | None = None) -> Any:
    """Ask a sandbox; `body` makes it a POST."""
    request = urllib.request.Request(  # noqa: S310 - loopback only
        f"{url}/_sandbox/{what}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text else None
