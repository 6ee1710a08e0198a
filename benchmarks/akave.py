"""Records per second to Akave: DataUnion's workers against naive.py, one Celery task per record.

`./run bench akave [--records N] [--rounds N] [--processes N] [--database NAME]`. Each round runs both sides, each on a
database, broker and sink of its own, with the same number of worker processes; records of 4 KiB are handed in, and
tasks or nudges sent, before the workers start. The time runs from the first request at the sink until the last record
is saved. The rates' medians and their ratio are told. Our settings are the defaults, our workers docker-compose.yml's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from benchmarks._processes import DATABASES
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._workers import Measured, open_union

SIDES = ("DataUnion", "naive")


def main(argv: Sequence[str]) -> int:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(prog="./run bench akave", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=5000, help="on each side, in each round (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told (3)")
    parser.add_argument("--processes", type=int, default=2, help="that work at once (2)")
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="of both sides (sqlite)")
    options = parser.parse_args(argv)
    found: dict[str, list[Measured]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        for side in SIDES:
            with open_union(options.database) as union:
                union.fill(options.records)
                work = union.work if side == "DataUnion" else union.work_naively
                found[side].append(work(processes=options.processes))
            tell_progress(f"round {number + 1}: {side} {found[side][-1].rate:.0f} records/s")
    _tell(found)
    return 0


def _tell(found: dict[str, list[Measured]]) -> None:
    medians = {side: statistics.median(one.rate for one in runs) for side, runs in found.items()}
    rows = [
        [
            side,
            f"{medians[side]:.0f}",
            f"{min(one.rate for one in runs):.0f} to {max(one.rate for one in runs):.0f}",
            f"{statistics.median(one.cpu_s / one.records for one in runs) * 1000:.2f}",
            f"{runs[0].requests / runs[0].records:.2f}",
        ]
        for side, runs in found.items()
    ]
    tell_table(["side", "records/s, median", "lowest to highest", "workers' CPU ms/record", "requests/record"], rows)
    tell_machine()
    tell_ratio(medians["DataUnion"] / medians["naive"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
