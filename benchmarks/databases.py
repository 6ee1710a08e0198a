"""The databases side by side: how fast one worker claims and completes jobs, and how each hot question is answered.

`./run bench databases [--jobs N] [--rounds N] [--workers N]`. Each round goes through all databases; the medians are
told, and their ratios to SQLite. PostgreSQL and SQLite write as in a deployment. MongoDB is SecantusDB, which tells
nothing of a real server's speed, unless MONGODB_TEST_URI names one. FakePartner's place is taken by no call at all:
it is the database that is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DATABASES = ("sqlite", "mongodb", "postgresql")


def main(argv: Sequence[str]) -> int:
    """Print a table of jobs per second, and one of plans."""
    parser = argparse.ArgumentParser(prog="./run bench databases", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000, help="in each round (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told (3)")
    parser.add_argument("--workers", type=int, default=1, help="processes at once (1)")
    options = parser.parse_args(argv)
    rates: dict[str, list[float]] = {name: [] for name in DATABASES}
    for number in range(options.rounds):
        for name in DATABASES:
            with _database(name) as env:
                rates[name].append(_measure(env, options.jobs, options.workers))
            print(f"round {number + 1}: {name} {rates[name][-1]:.0f} jobs/s", file=sys.stderr, flush=True)
    _print_rates(rates)
    _print_plans({name: _plans(name) for name in DATABASES})
    return 0


@contextmanager
def _database(name: str) -> Iterator[dict[str, str]]:
    """Give the environment of processes that work on a new, empty database."""
    from tests import mongodb, postgresql

    with tempfile.TemporaryDirectory(prefix="dataunion-bench-") as folder:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATAUNION_VAR_DIR": folder}
        env["DATAUNION_LOG_LEVEL"] = "ERROR"
        if name == "sqlite":
            yield {**env, "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3"}
            return
        with mongodb.serve() if name == "mongodb" else postgresql.serve(durable=True) as url:
            yield {**env, "DATABASE_URL": url}


def _measure(env: Mapping[str, str], jobs: int, workers: int) -> float:
    """Return jobs per second, over all workers."""
    _ask(_begin(env, "fill", str(jobs)))
    working = [_begin(env, "work") for _ in range(workers)]
    answers: list[tuple[int, float]] = [_ask(one) for one in working]
    done, longest = sum(count for count, _ in answers), max(seconds for _, seconds in answers)
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs were completed")
    return done / longest


def _plans(name: str) -> Any:
    with _database(name) as env:
        return _ask(_begin(env, "plans"))


def _begin(env: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks._databases", *arguments]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], env=env, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str]) -> Any:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return json.loads(said.splitlines()[-1])


def _print_rates(rates: Mapping[str, Sequence[float]]) -> None:
    print("\n| database | jobs/s, median | lowest to highest | to SQLite |\n|---|---|---|---|")
    base = statistics.median(rates["sqlite"])
    for name, found in rates.items():
        median = statistics.median(found)
        print(f"| {name} | {median:.0f} | {min(found):.0f} to {max(found):.0f} | {median / base:.2f} |")


def _print_plans(plans: Mapping[str, Mapping[str, str]]) -> None:
    print(f"\n| question | {' | '.join(plans)} |\n|---|{'---|' * len(plans)}")
    for question in plans["sqlite"]:
        print(f"| {question} | {' | '.join(found[question] for found in plans.values())} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
