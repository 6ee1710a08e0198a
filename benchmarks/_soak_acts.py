"""The acts of a soak: on processes, broker, database and chain, and what staff and clients do meanwhile."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks._soak_plan import EVERY_S, Event
from benchmarks._soak_recovery import Recovery
from benchmarks._soak_world import HOLDS, World

LOCKED_S, SILENT_S, BROKER_S, PAUSED_S, CONTRACT_S, SECOND_S, DROP_S = 8.0, 20.0, 5.0, 5.0, 4.0, 10.0, 2.0
CLOCK_OFF_S = "3600"
Undo = tuple[float, Callable[[], Any]]


class Acts:
    """Commits events; what must be undone some seconds later is undone by `look_after`."""

    def __init__(self, world: World, recovery: Recovery, unsure: Mapping[str, str]) -> None:
        self.world, self.house, self.sandboxes, self.recovery = world, world.house, world.sandboxes, recovery
        self.counts: Counter[str] = Counter(dict.fromkeys(EVERY_S, 0))
        self._unsure = unsure  # the environment that lets a worker's database fail
        self._later: list[Undo] = []
        self._by_name: Mapping[str, Callable[[float], bool]] = {
            "SIGKILL of a worker": self._kill_worker,
            "SIGTERM of a worker (a deploy)": self._replace_worker,
            "SIGKILL of the web server": self._kill_web,
            "broker emptied": self._empty_broker,
            "broker's messages five times": self._repeat_messages,
            "broker stopped": self._stop_broker,
            "database locked": self._lock_database,
            "beat silent": self._silence_beat,
            "second beat": self._second_beat,
            "worker with a clock an hour off": self._wrong_clock,
            "reorg of two blocks": self._reorg,
            "transaction dropped from the mempool": self._drop_transaction,
            "contract paused": self._pause_contract,
            "retry run by staff": self._retry_run,
            "retry of one by staff": self._retry_one,
            "reported lost by staff": self._report_lost,
            "partner paused by staff": self._pause_partner,
            "handed in again by the client": self._hand_in_again,
        }

    def commit(self, event: Event) -> None:
        """Do it; it counts when there was something to do it to."""
        self.counts[event.act] += self._by_name[event.act](event.draw)

    def look_after(self, *, everything: bool = False) -> None:
        """Undo what has lasted long enough, or everything."""
        now = time.monotonic()
        due = [undo for undo in self._later if everything or undo[0] <= now]
        self._later = [undo for undo in self._later if undo not in due]
        for _, act in due:
            act()

    def _after(self, seconds: float, act: Callable[[], Any]) -> None:
        self._later.append((time.monotonic() + seconds, act))

    # processes

    def _kill_worker(self, draw: float) -> bool:
        name = _pick(list(HOLDS), draw)
        if not self.house.runs_alone(name):
            return False
        held = self.recovery.note_kill(HOLDS[name], lambda: self.house.kill(name))
        self.house.start(name, env=self._unsure)
        return held > 0

    def _replace_worker(self, draw: float) -> bool:
        name = _pick(list(HOLDS), draw)
        self.house.terminate(name)
        self.house.start(name, env=self._unsure)
        return True

    def _wrong_clock(self, draw: float) -> bool:
        self.house.terminate("vana")  # its partner's requests bear no time, so that only our own clocks matter
        self.house.start("vana", env={**self._unsure, "FAULTS_CLOCK_S": CLOCK_OFF_S})
        return True

    def _kill_web(self, draw: float) -> bool:
        self.house.kill("web")
        self.house.start("web")
        return True

    def _silence_beat(self, draw: float) -> bool:
        self.house.terminate("beat")
        self._after(SILENT_S, lambda: self.house.start("beat"))
        return True

    def _second_beat(self, draw: float) -> bool:
        self.house.start("beat2")
        self._after(SECOND_S, lambda: self.house.terminate("beat2"))
        return True

    # broker and database

    def _empty_broker(self, draw: float) -> bool:
        self.house.ask_broker(lambda broker: broker.flushall())
        return True

    def _repeat_messages(self, draw: float) -> bool:
        return bool(self.house.ask_broker(_repeat))

    def _stop_broker(self, draw: float) -> bool:
        self.house.stop_broker()
        self._after(BROKER_S, self.house.start_broker)
        return True

    def _lock_database(self, draw: float) -> bool:
        from django.db import connection

        if connection.vendor != "sqlite":
            return False
        threading.Thread(target=_lock, args=[str(connection.settings_dict["NAME"])]).start()
        return True

    # chain

    def _reorg(self, draw: float) -> bool:
        self.sandboxes.ask_chain("sandbox_reorg", 2)
        return True

    def _drop_transaction(self, draw: float) -> bool:
        from dataunion.models import ChainTx

        pool, give_up_at = self.sandboxes.chain.node.pool, time.monotonic() + DROP_S
        while time.monotonic() < give_up_at:  # until one of ours waits to be mined
            newest = ChainTx.objects.order_by("-nonce")[:20]
            ours = {tx_hash for tx in newest for tx_hash in tx.hashes} & set(pool.hashes())
            if any(self.sandboxes.ask_chain("sandbox_drop", tx_hash) for tx_hash in ours):
                return True
            time.sleep(0.02)
        return False

    def _pause_contract(self, draw: float) -> bool:
        self.sandboxes.ask_chain("sandbox_pause", "registry", True)
        self._after(CONTRACT_S, lambda: self.sandboxes.ask_chain("sandbox_pause", "registry", False))
        return True

    # staff and clients

    def _retry_run(self, draw: float) -> bool:
        return self._staff("POST", "/api/v1/retry-runs", {"partner": _pick(list(HOLDS.values()), draw)})

    def _retry_one(self, draw: float) -> bool:
        from dataunion.models import SyncJob
        from dataunion.state import REOPENABLE

        jobs = list(SyncJob.objects.filter(status__in=REOPENABLE).values_list("record_id", "partner")[:50])
        if not jobs:
            return False
        record, partner = _pick(jobs, draw)
        return self._staff("POST", f"/api/v1/records/{record}/partners/{partner}/retry")

    def _report_lost(self, draw: float) -> bool:
        from dataunion.models import DataUnion

        record = self._some_record(draw)
        if record is None:
            return False
        synced = [name for name in record.partners if record.entry(name).is_synced]
        if not synced:
            return False
        found = DataUnion.objects.get(pk=record.pk)
        found.update_partner_sync(_pick(synced, draw), False, error_message="Reported lost.")
        return True

    def _hand_in_again(self, draw: float) -> bool:
        record = self._some_record(draw)
        if record is None:
            return False
        body = {"user_hash": record.user_hash, "data_type": record.data_type, "data_id": record.data_id}
        return self._staff("POST", "/api/v1/records", body)

    def _some_record(self, draw: float) -> Any:
        from dataunion.models import DataUnion

        count = DataUnion.objects.count()
        return DataUnion.objects.order_by("created_at")[int(draw * count)] if count else None

    def _pause_partner(self, draw: float) -> bool:
        partner = _pick(list(HOLDS.values()), draw)
        self._after(PAUSED_S, lambda: self._staff("POST", f"/api/v1/partners/{partner}/resume"))
        return self._staff("POST", f"/api/v1/partners/{partner}/pause", {"reason": "The soak pauses it."})

    def _staff(self, method: str, path: str, body: Any = None) -> bool:
        """Ask the web server; whether it answered. People who get no answer ask again some other time."""
        try:
            return self.house.ask(method, path, body).status < 500
        except OSError:
            return False


def _pick(things: list[Any], draw: float) -> Any:
    return things[int(draw * len(things))]


def _repeat(broker: Any) -> int:
    """Put every queued message there four times more."""
    repeated = 0
    for queue in broker.keys("*"):
        if broker.type(queue) == b"list":
            for message in broker.lrange(queue, 0, -1):
                broker.rpush(queue, *[message] * 4)
                repeated += 1
    return repeated


def _lock(path: str) -> None:
    """Hold the database's write lock, as a long maintenance job would."""
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED_S)
        connection.rollback()
    finally:
        connection.close()
