"""Two unions behind the web server of production, a small and a large one, which are asked the same in turn.

How much open work there is does not differ, so nothing that is asked of it should take longer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._processes import DATABASES, answer, begin, new_database
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table

_ON_SECANTUS = 100_000  # where a million rows would take an hour to store


class Served:
    """A filled database with a web server and a worker; every answer comes with the seconds that it took."""

    def __init__(self, records: int, port: int, headers: Mapping[str, str], worker: subprocess.Popen[str]) -> None:
        self.records = records
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)
        self._headers, self._worker = dict(headers), worker

    def get(self, path: str) -> tuple[float, bytes]:
        """Ask for a page. Raises RuntimeError where it is refused."""
        return self._ask("GET", path, None)

    def put(self, path: str, body: Mapping[str, Any]) -> None:
        """Send JSON. Raises RuntimeError where it is refused."""
        self._ask("PUT", path, json.dumps(body))

    def claim(self) -> tuple[float, int]:
        """Have the worker claim a chunk and put it back; return of how many jobs."""
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write("\n")
        self._worker.stdin.flush()
        seconds, jobs = json.loads(self._worker.stdout.readline())
        return seconds, jobs

    def close(self) -> None:
        """End the worker."""
        self._worker.communicate()

    def _ask(self, method: str, path: str, body: str | None) -> tuple[float, bytes]:
        self._connection.connect()  # anew each time, since the server leaves one that is not used for long
        start = time.perf_counter()
        self._connection.request(method, path, body, self._headers)
        found = self._connection.getresponse()
        said = found.read()
        seconds = time.perf_counter() - start
        self._connection.close()
        if found.status != 200:
            raise RuntimeError(f"{method} {path}: status {found.status}: {said[:200]!r}")
        return seconds, said


def read_options(name: str, doc: str, argv: Sequence[str]) -> argparse.Namespace:
    """Read what may be said: sizes, how often is asked, and on which databases."""
    parser = argparse.ArgumentParser(prog=f"./run bench {name}", description=doc.splitlines()[0])
    parser.add_argument("--small", type=int, default=10_000, help="records (10000)")
    parser.add_argument("--large", type=int, default=1_000_000, help="records (1000000; SecantusDB: at most 100000)")
    parser.add_argument("--open", type=int, default=1000, help="open jobs on each side, half of them failures (1000)")
    parser.add_argument("--rounds", type=int, default=200, help="in each of which both sides are asked (200)")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    return parser.parse_args(argv)


@contextmanager
def serve_both(database: str, options: argparse.Namespace) -> Iterator[tuple[Served, Served]]:
    """Fill two new databases, the small one first, and serve them until the context ends."""
    large = min(options.large, _ON_SECANTUS) if database == "mongodb" else options.large
    with ExitStack() as held:
        small_union, large_union = (
            held.enter_context(_serve(database, n, options.open)) for n in (options.small, large)
        )
        yield small_union, large_union


@contextmanager
def _serve(database: str, records: int, jobs: int) -> Iterator[Served]:
    from tests.flows.house import House

    tell_progress(f"{database}: filling {records:,} records")
    with new_database(database) as env:
        failures = jobs // 2
        numbers = [str(number) for number in (records, failures, jobs - failures)]
        filled = answer(begin(env, "benchmarks._large", "fill", *numbers))
        house = House(Path(env["DATAUNION_VAR_DIR"]), env)
        house.api_key = filled["key"]
        try:
            house.start_broker()
            house.start("web")
            bearer = {"Authorization": f"Bearer {filled['key']}", "Content-Type": "application/json"}
            worker = begin(env, "benchmarks._large", "claims")
            union = Served(records, house.web_port, {**bearer, "Cookie": filled["cookie"]}, worker)
            try:
                yield union
            finally:
                union.close()
        finally:
            house.end()


class Compared:
    """The seconds that one question took on both sides; a table of them, whose worst ratio is the last line."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._worst = 0.0

    def add(self, what: str, sides: Sequence[Served], ask: Callable[[Served], float], rounds: int) -> None:
        """Ask both sides in turn, now this one first, now that one, and keep the medians."""
        seconds: dict[Served, list[float]] = {side: [] for side in sides}
        for number in range(rounds):
            for side in sides if number % 2 else sides[::-1]:
                seconds[side].append(ask(side))
        small, large = (median(found) for found in seconds.values())
        self._worst = max(self._worst, large / small)
        numbers = " against ".join(f"{side.records:,}" for side in reversed(sides))
        self._rows.append([what, numbers, f"{small * 1000:.2f}", f"{large * 1000:.2f}", f"{large / small:.2f}"])
        tell_progress(f"{what}: {large / small:.2f}")

    def tell(self) -> None:
        """Print the table and the worst ratio."""
        tell_table(["asked", "records", "small, p50 ms", "large, p50 ms", "ratio"], self._rows)
        tell_machine()
        tell_ratio(self._worst)
