"""How close DataUnion comes to the bare wire: its workers against processes that only encrypt and put.

`./run bench akave-limit [--records N] [--rounds N] [--processes N] [--database NAME]`. The bare loop uses the adapter's
own client, asks for nothing else and notes nothing; beside it stands the same loop with obstore, a client in Rust. Each
round runs all of them, with the same number of processes and a sink of their own; DataUnion as in `./run bench akave`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence

from benchmarks._processes import DATABASES, answer, begin
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._sink import serve_sink
from benchmarks._workers import open_union

OURS, BARE, OBSTORE = "DataUnion", "bare", "bare, obstore"
CLIENTS = {BARE: "ours", OBSTORE: "obstore"}


def main(argv: Sequence[str]) -> int:
    """Print the rates, and ours over the bare one."""
    parser = argparse.ArgumentParser(prog="./run bench akave-limit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=5000, help="of each, in each round (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told (3)")
    parser.add_argument("--processes", type=int, default=2, help="that work at once (2)")
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="of DataUnion (sqlite)")
    options = parser.parse_args(argv)
    rates: dict[str, list[float]] = {name: [] for name in (OURS, BARE, OBSTORE)}
    for number in range(options.rounds):
        for name, found in rates.items():
            if name == OURS:
                found.append(_run_union(options))
            else:
                found.append(_run_bare(CLIENTS[name], options.records, options.processes))
            tell_progress(f"round {number + 1}: {name} {found[-1]:.0f} records/s")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    rows = [
        [name, f"{medians[name]:.0f}", f"{min(found):.0f} to {max(found):.0f}", f"{medians[name] / medians[BARE]:.2f}"]
        for name, found in rates.items()
    ]
    tell_table(["side", "records/s, median", "lowest to highest", "to bare"], rows)
    tell_machine()
    tell_ratio(medians[OURS] / medians[BARE])
    return 0


def _run_union(options: argparse.Namespace) -> float:
    with open_union(options.database) as union:
        union.fill(options.records)
        return union.work(processes=options.processes).rate


def _run_bare(client: str, records: int, processes: int) -> float:
    """Return records per second over all processes."""
    with serve_sink() as sink:
        each = str(records // processes)
        running = [begin(os.environ, "benchmarks._bare", client, sink.url, each) for _ in range(processes)]
        return sum(int(each) / float(answer(one)["seconds"]) for one in running)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
