"""The databases side by side: how fast one worker claims and completes jobs, and how each hot question is answered.

`./run bench databases [--jobs N] [--rounds N] [--workers N]`. Each round goes through all databases; the medians are
told, and their ratios to SQLite. PostgreSQL and SQLite write as in a deployment. MongoDB is SecantusDB, which tells
nothing of a real server's speed, unless MONGODB_TEST_URI names one. FakePartner's place is taken by no call at all:
it is the database that is measured.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks._processes import DATABASES, answer, begin, new_database
from benchmarks._report import tell_progress, tell_table


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
            with new_database(name) as env:
                rates[name].append(_measure(env, options.jobs, options.workers))
            tell_progress(f"round {number + 1}: {name} {rates[name][-1]:.0f} jobs/s")
    _print_rates(rates)
    _print_plans({name: _plans(name) for name in DATABASES})
    return 0


def _measure(env: Mapping[str, str], jobs: int, workers: int) -> float:
    """Return jobs per second, over all workers."""
    answer(_begin(env, "fill", str(jobs)))
    working = [_begin(env, "work") for _ in range(workers)]
    answers: list[tuple[int, float]] = [answer(one) for one in working]
    done, longest = sum(count for count, _ in answers), max(seconds for _, seconds in answers)
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs were completed")
    return done / longest


def _plans(name: str) -> Any:
    with new_database(name) as env:
        return answer(_begin(env, "plans"))


def _begin(env: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    return begin(env, "benchmarks._databases", *arguments)


def _print_rates(rates: Mapping[str, Sequence[float]]) -> None:
    base = statistics.median(rates["sqlite"])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    rows = [
        [name, f"{medians[name]:.0f}", f"{min(found):.0f} to {max(found):.0f}", f"{medians[name] / base:.2f}"]
        for name, found in rates.items()
    ]
    tell_table(["database", "jobs/s, median", "lowest to highest", "to SQLite"], rows)


def _print_plans(plans: Mapping[str, Mapping[str, str]]) -> None:
    rows = [[question, *(found[question] for found in plans.values())] for question in plans["sqlite"]]
    tell_table(["question", *plans], rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
