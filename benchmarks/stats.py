"""GET sync-stats over many records against few, with as much open work: what it costs follows the work.

`./run bench stats [--small N] [--large N] [--rounds N] [--databases …]`. Both sides are asked in turn over HTTP,
through the web server of production with an API key. Before each question a record's sync is reported by REST, now as
done, now as failed: a transition that is committed, and that the answer must show.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks._served import Compared, Served, read_options, serve_both

_PARTNER = "akave"


def main(argv: Sequence[str]) -> int:
    """Compare on each database; print the table and the worst ratio."""
    options, compared = read_options("stats", __doc__, argv), Compared()
    for database in options.databases:
        with serve_both(database, options) as sides:
            watched = {side: _Watched(side, failures=options.open // 2) for side in sides}
            compared.add(database, sides, _asking(watched), options.rounds)
    compared.tell()
    return 0


class _Watched:
    """One side, and what its statistics must say next."""

    def __init__(self, side: Served, *, failures: int) -> None:
        self._side, self._fails = side, True
        failing = json.loads(side.get(f"/api/v1/records?partner={_PARTNER}&status=failing&limit=1")[1])
        self._record = failing["results"][0]["id"]
        self._expected = self._read()[1]
        failed = sum(counts["failed"] for name, counts in self._expected.items() if name != "total")
        if (self._expected["total"], failed) != (side.records, failures):
            raise RuntimeError(f"{self._expected} are not {side.records} records with {failures} failures")

    def ask(self) -> float:
        """Change one thing, ask, and return how many seconds the answer took. Raises RuntimeError for a stale one."""
        self._change()
        seconds, found = self._read()
        if found != self._expected:
            raise RuntimeError(f"the answer was {found}, not {self._expected}")
        return seconds

    def _change(self) -> None:
        """Let the record be synced where it failed, and fail where it was synced."""
        said = {"is_synced": True} if self._fails else {"is_synced": False, "error_message": "akave: upload: HTTP 503"}
        self._side.put(f"/api/v1/records/{self._record}/partners/{_PARTNER}", said)
        step = 1 if self._fails else -1
        counts = self._expected[_PARTNER]
        counts["success"] += step
        counts["failed"] -= step
        counts["successRate"] = (counts["success"] * 200 + self._side.records) // (2 * self._side.records)
        self._fails = not self._fails

    def _read(self) -> tuple[float, dict[str, Any]]:
        seconds, body = self._side.get("/api/users/admin/sync-stats")
        return seconds, json.loads(body)


def _asking(watched: Mapping[Served, _Watched]) -> Callable[[Served], float]:
    return lambda side: watched[side].ask()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
