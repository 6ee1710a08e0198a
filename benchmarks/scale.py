"""Two worker processes against one, on PostgreSQL and a sink that answers after 50 ms: it is the waiting they share.

`./run bench scale [--records N] [--rounds N] [--delay-ms N]`. Real Celery workers at their default settings push
records of 4 KiB to the sink; the seconds are those from the first request until no job is open.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._workers import Measured, open_union


def main(argv: Sequence[str]) -> int:
    """Print the rates of one worker and of two, and their ratio."""
    parser = argparse.ArgumentParser(prog="./run bench scale", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=5000, help="in each run (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are compared (3)")
    parser.add_argument("--delay-ms", type=float, default=50.0, help="how long the sink takes to answer (50)")
    options = parser.parse_args(argv)
    runs: dict[int, list[Measured]] = {1: [], 2: []}
    for number in range(options.rounds):
        for workers in sorted(runs, reverse=bool(number % 2)):
            with open_union("postgresql", delay_ms=options.delay_ms) as union:
                union.fill(options.records)
                runs[workers].append(union.work(processes=workers))
            tell_progress(f"round {number + 1}: {workers} at work, {runs[workers][-1].rate:.0f} records/s")
    rates = {workers: median(run.rate for run in found) for workers, found in runs.items()}
    tell_table(
        ["workers", "records/s, median", "lowest to highest", "CPU ms a record"], [_row(*one) for one in runs.items()]
    )
    tell_machine()
    tell_ratio(rates[2] / rates[1])
    return 0


def _row(workers: int, runs: Sequence[Measured]) -> list[str]:
    rates = sorted(run.rate for run in runs)
    cpu_ms = median(run.cpu_s / run.records * 1000 for run in runs)
    return [str(workers), f"{median(rates):.0f}", f"{rates[0]:.0f} to {rates[-1]:.0f}", f"{cpu_ms:.1f}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
