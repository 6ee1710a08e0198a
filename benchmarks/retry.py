"""./run bench retry: a bulk retry of many failures, and what it does to live records that come in meanwhile.

One service hands in a record at a time by REST, so many a second, for 30 s and 30 s more, at the beginning of which
another one posts to retry-failed-syncs. One granian process, a broker, a beat and the clock's worker run as in a
deployment; both partners are paused, so that the retry is measured and not what is sent afterwards.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from benchmarks._processes import answer, begin, new_database
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._service import Client, make_record, p95, serve

DATABASES = ("sqlite", "postgresql")
WARM_UP_S = 3.0
PATIENCE_S = 600.0
RETRY = "/api/users/admin/retry-failed-syncs"


@dataclass(frozen=True)
class Found:
    """What one database did; seconds."""

    answered_s: float
    due_s: float
    before_s: list[float]  # of each record that came in
    while_s: list[float]

    @property
    def ratio(self) -> float:
        """Return how many times slower live records were."""
        return p95(self.while_s) / p95(self.before_s)


class Live(threading.Thread):
    """Hands in one record after the other, each at its moment or as soon as the one before is answered."""

    def __init__(self, client: Client, *, a_second: float, size: int) -> None:
        super().__init__(name="live", daemon=True)
        self._client, self._every_s, self._bytes = client, 1 / a_second, size
        self._ending = threading.Event()
        self.took: list[tuple[float, float]] = []  # when it was handed in, and how long that took

    def run(self) -> None:
        """Go on until `end`."""
        began, number = time.monotonic(), 0
        while not self._ending.wait(max(0.0, began + number * self._every_s - time.monotonic())):
            at = time.monotonic()
            self._client.ask("POST", "/api/v1/records", make_record("live", number, self._bytes))
            self.took.append((at, time.monotonic() - at))
            number += 1

    def end(self) -> None:
        """Stop after the present record. Raises RuntimeError where one was refused and it stopped then."""
        if not self.is_alive():
            raise RuntimeError("live records stopped before their time; see above")
        self._ending.set()
        self.join()

    def between(self, begin_at: float, end_at: float) -> list[float]:
        """Return the seconds of those that were handed in then."""
        return [seconds for at, seconds in self.took if begin_at <= at < end_at]


def main(argv: Sequence[str]) -> int:
    """Print the parts on each database and, last, the worst ratio."""
    options = _parse(argv)
    rows, ratios = [], []
    for name in options.databases:
        found = _measure(name, options)
        ratios.append(found.ratio)
        times = [f"{found.answered_s:.2f}", f"{found.due_s:.1f}"]
        latencies = [f"{1000 * p95(values):.0f}" for values in (found.before_s, found.while_s)]
        rows.append([name, *times, *latencies, str(len(found.while_s)), f"{found.ratio:.2f}"])
        tell_progress(f"{name}: {found.ratio:.2f}")
    heads = ["database", "answered after s", "all due after s", "p95 before, ms", "p95 while, ms", "records", "ratio"]
    tell_table(heads, rows)
    print(f"{options.failures} failures; {options.rate:g} live records a second of {options.bytes} bytes")
    tell_machine()
    tell_ratio(max(ratios))
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench retry", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--failures", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="before the retry, and of it")
    parser.add_argument("--rate", type=float, default=20.0, help="live records a second")
    parser.add_argument("--bytes", type=int, default=4096, help="of a live record's data")
    return parser.parse_args(argv)


def _measure(name: str, options: argparse.Namespace) -> Found:
    with new_database(name) as env:
        tell_progress(f"{name}: writing {options.failures} failures")
        key = answer(begin(env, "benchmarks._retry", "fill", str(options.failures)))
        with serve(env, clock=True) as port:
            found = _retry(port, key, options)
        left = answer(begin(env, "benchmarks._retry", "count"))
    if left:
        raise RuntimeError(f"{left} of {options.failures} still fail after a retry that says it is done")
    return found


def _retry(port: int, key: str, options: argparse.Namespace) -> Found:
    with closing(Client(port, key)) as client, closing(Client(port, key)) as staff:
        live = Live(client, a_second=options.rate, size=options.bytes)
        live.start()
        time.sleep(WARM_UP_S + options.seconds)
        asked_at = time.monotonic()
        told, answered_s = staff.ask("POST", RETRY, {"partner": "akave"})
        if told["retryCount"] != options.failures:
            raise RuntimeError(f"{told['retryCount']} of {options.failures} are retried")
        due_s = _wait_until_due(staff) - asked_at
        time.sleep(max(0.0, asked_at + options.seconds - time.monotonic()))
        live.end()
    before = live.between(asked_at - options.seconds, asked_at)
    return Found(answered_s, due_s, before, live.between(asked_at, asked_at + options.seconds))


def _wait_until_due(staff: Client) -> float:
    """Return when the run had ended. Raises RuntimeError where it does not."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        told, _ = staff.ask("GET", "/api/v1/retry-runs?limit=1")
        if told["results"][0]["state"] == "done":
            return time.monotonic()
        time.sleep(0.25)
    raise RuntimeError(f"not all failures are due after {PATIENCE_S:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
