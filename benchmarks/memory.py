"""The peak memory of a worker that has many jobs before it, against that of one with few.

`./run bench memory [--large N] [--small N] [--seconds N] [--databases …]`. A real Celery worker at its default settings
and a beat run for the same time on each side; the worker takes every queue: it sends the jobs' data to a sink and does
the clock's work and the upkeep, which look at the whole queue. Peak: VmHWM of its process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._processes import DATABASES, answer, begin
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._workers import open_union, our_beat, our_worker, read_peak_rss_kib, run_workers

_QUEUES = "dataunion,sync.akave"


def main(argv: Sequence[str]) -> int:
    """Print the peaks and the worst ratio."""
    parser = argparse.ArgumentParser(prog="./run bench memory", description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=1000, help="jobs waiting (1000)")
    parser.add_argument("--large", type=int, default=200_000, help="jobs waiting (200000)")
    parser.add_argument("--seconds", type=float, default=90.0, help="that each worker runs; upkeep is each minute (90)")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=["sqlite", "postgresql"])
    options = parser.parse_args(argv)
    rows, worst = [], 0.0
    for database in options.databases:
        peaks = []
        for waiting in (options.small, options.large):
            peak_kib, sent = _measure(database, waiting, options.seconds)
            peaks.append(peak_kib)
            rows.append([database, f"{waiting:,}", f"{sent:,}", f"{peak_kib / 1024:.1f}"])
            tell_progress(f"{database}: {waiting:,} waiting, {sent:,} sent, {peak_kib / 1024:.1f} MiB")
        worst = max(worst, peaks[1] / peaks[0])
    tell_table(["database", "jobs waiting", "of them sent", "peak RSS, MiB"], rows)
    tell_machine()
    tell_ratio(worst)
    return 0


def _measure(database: str, waiting: int, seconds: float) -> tuple[int, int]:
    """Return the worker's peak in KiB and how many records it sent. Raises RuntimeError where it sent none."""
    with open_union(database) as union:
        answer(begin(union.env, "benchmarks._large", "fill", str(waiting), "0", str(waiting)))
        beat = our_beat(Path(union.env["DATAUNION_VAR_DIR"]))
        with run_workers(union.env, [our_worker(0, queues=_QUEUES), beat]) as (worker, _):
            time.sleep(seconds)
            peak_kib = read_peak_rss_kib(worker.pid)
        sent = len(union.sink.report()["objects"])
    if not sent:
        raise RuntimeError(f"the worker sent nothing within {seconds:.0f} s")
    return peak_kib, sent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
