"""The service that hands records in by REST, each again and again until it is told that it was taken."""

from __future__ import annotations

import threading
import time

from benchmarks._soak_world import World

USERS = 20


class Client(threading.Thread):
    """Hands in `records`, (seconds after the start, data type) each; their numbers begin with `first`."""

    def __init__(self, world: World, records: list[tuple[float, str]], *, first: int = 0) -> None:
        super().__init__(name="client")
        self._world, self._records, self._begun, self._first = world, records, time.monotonic(), first
        self.taken = self.repeated = 0

    def run(self) -> None:
        """Hand in one after the other."""
        for number, (at_s, data_type) in enumerate(self._records, self._first):
            time.sleep(max(0.0, self._begun + at_s - time.monotonic()))
            while not self._hand_in(number, data_type):
                self.repeated += 1
                time.sleep(0.2)
            self.taken += 1

    def _hand_in(self, number: int, data_type: str) -> bool:
        from tests.faults.oracle import MARKER

        payload = {"note": MARKER, "number": number, "values": list(range(number % 50))}
        body = {"user_hash": f"user-{number % USERS}", "data_type": data_type, "data_id": f"record-{number}"}
        try:
            answer = self._world.house.ask("POST", "/api/v1/records", {**body, "payload": payload})
        except OSError:
            return False
        return answer.status in (200, 201)
