"""./run bench ingest: records handed in by REST in batches, against a bare bulk_create of the same rows.

Ours is one granian process, a broker, an API key and HTTP on a connection that stays open. The other side is
Django's bulk_create of the very rows that ingest wrote (jobs, data, record; made and sealed before) in one
transaction, in the same database. MongoDB is SecantusDB unless MONGODB_TEST_URI names a server.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus

from benchmarks._processes import DATABASES, answer, begin, new_database
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table
from benchmarks._service import Client, make_record, serve


def main(argv: Sequence[str]) -> int:
    """Print records per second on each database and, last, the worst ratio."""
    options = _parse(argv)
    rows, ratios = [], []
    for name in options.databases:
        ours, bare = _measure(name, options)
        ratios.append(ours / bare)
        tell_progress(f"{name}: {ratios[-1]:.2f}")
        rows.append([name, f"{ours:.0f}", f"{bare:.0f}", f"{ratios[-1]:.2f}"])
    tell_table(["database", "by REST, records/s", "bulk_create, records/s", "ratio"], rows)
    print(f"medians of batches of {options.size} records of {options.bytes} bytes;", end=" ")
    print(f"{options.rounds} rounds of {options.batches} batches")
    tell_machine()
    tell_ratio(min(ratios))
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench ingest", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=5, help="in a round, of each side")
    parser.add_argument("--size", type=int, default=1000, help="records in a batch")
    parser.add_argument("--bytes", type=int, default=4096, help="of a record's data")
    return parser.parse_args(argv)


def _measure(name: str, options: argparse.Namespace) -> tuple[float, float]:
    """Return the records per second of both sides, which take turns."""
    ours_s: list[float] = []
    bare_s: list[float] = []
    with new_database(name) as env:
        key = answer(begin(env, "benchmarks._ingest", "prepare"))
        with serve(env) as port:
            _hand_in(port, key, options, batches=1)  # it pays for what is loaded late
            for _ in range(options.rounds):
                ours_s += _hand_in(port, key, options, batches=options.batches)
                bare_s += answer(begin(env, "benchmarks._ingest", "copy", str(options.batches), str(options.size)))
    return options.size / statistics.median(ours_s), options.size / statistics.median(bare_s)


def _hand_in(port: int, key: str, options: argparse.Namespace, *, batches: int) -> list[float]:
    """Hand in batches of new records on one connection; return the seconds until each answer is read."""
    took_s = []
    with closing(Client(port, key)) as client:
        for _ in range(batches):
            name = secrets.token_hex(8)
            records = [make_record(name, number, options.bytes) for number in range(options.size)]
            told, seconds = client.ask("POST", "/api/v1/records", {"records": records})
            if [result["status"] for result in told["results"]] != [HTTPStatus.CREATED] * options.size:
                raise RuntimeError("not every record was made")
            took_s.append(seconds)
    return took_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
