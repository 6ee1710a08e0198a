"""./run bench demo: seconds from `./run demo` in a set-up clone until its first record is on Akave.

Its database is watched from outside: the record is there when its entry says that it is synced.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from benchmarks._processes import ROOT
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table

TARGET_S = 5.0
PATIENCE_S = 120.0
EVERY_S = 0.02
DATABASE = ROOT / "var" / "demo" / "dataunion.sqlite3"
SYNCED = "SELECT count(*) FROM dataunions WHERE json_extract(partners, '$.akave.is_synced')"


def main(argv: Sequence[str]) -> int:
    """Print each round and, last, 5 s over the median; 1 where a demo did not come so far."""
    parser = argparse.ArgumentParser(prog="./run bench demo", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    rounds = []
    for number in range(options.rounds):
        seconds = _measure()
        if seconds is None:
            tell_progress("No record came to Akave; the demo's logs are in var/demo/log, or another demo runs here")
            return 1
        rounds.append(seconds)
        tell_progress(f"round {number + 1}: {seconds:.2f} s")
    tell_table(
        ["round", "seconds to the first record on Akave"], [[str(n), f"{s:.2f}"] for n, s in enumerate(rounds, 1)]
    )
    tell_machine()
    tell_ratio(TARGET_S / statistics.median(rounds))
    return 0


def _measure() -> float | None:
    """Start a demo, wait for its first record, end it; return the seconds."""
    DATABASE.unlink(missing_ok=True)  # of a demo before this one
    began = time.monotonic()
    demo = subprocess.Popen(["./run", "demo"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _is_synced():
            if demo.poll() is not None or time.monotonic() - began > PATIENCE_S:
                return None
            time.sleep(EVERY_S)
        return time.monotonic() - began
    finally:
        demo.send_signal(signal.SIGTERM)  # ./run has become the demo, which ends its own
        demo.wait()


def _is_synced() -> bool:
    try:
        with closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)) as database:
            return bool(database.execute(SYNCED).fetchone()[0])
    except sqlite3.OperationalError:  # not made yet, or locked by who makes it
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
