"""Where the time of one record goes on its way to Akave: what a worker's threads are at, looked at by py-spy.

`./run bench profile [--records N] [--database NAME] [--rate HZ]`. One worker as docker-compose.yml has it syncs records
of 4 KiB to the sink. A look counts each thread that runs or waits for an answer, by the innermost of its frames that is
in one of the parts below; who waits for work or for another thread is not counted. py-spy may look into another process
as root, or where the kernel allows it (kernel.yama.ptrace_scope = 0).
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._processes import DATABASES, answer, begin
from benchmarks._report import tell_machine, tell_progress, tell_table
from benchmarks._sink import Sink
from benchmarks._workers import PATIENCE_S, Union, open_union, our_worker, read_cpu_s, run_workers

# The first that fits a frame's file; frames of others belong to whoever called them.
_PARTS = (
    ("encryption, seals, signatures", ("partners/akave/encoding", "partners/akave/signature", "dataunion/vault")),
    ("wire", ("partners/akave/client", "partners/http", "partners/exchange", "partners/dial", "partners/answers")),
    ("database", ("django/db/backends/", "psycopg/", "pymongo/", "django_mongodb_backend/")),
    ("Django's queries and models", ("django/",)),
    ("DataUnion", ("dataunion/", "partners/")),
    ("Celery and the broker", ("celery/", "kombu/", "redis/")),
)
_REST = "the rest of Python"
_WAITING = ("threading.py", "concurrent/futures/")
_START_S = 60.0


@dataclass(frozen=True)
class _Looked:
    """What was seen of a worker: looks by part, and its processor time over so many records."""

    parts: Counter[str]
    cpu_s: float
    records: int


def main(argv: Sequence[str]) -> int:
    """Print each part's share."""
    parser = argparse.ArgumentParser(prog="./run bench profile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000, help="that are synced (10000)")
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="(sqlite)")
    parser.add_argument("--rate", type=int, default=250, help="looks a second (250)")
    options = parser.parse_args(argv)
    with open_union(options.database) as union:
        union.fill(options.records)
        tell_progress(f"{options.records} records are there; a worker begins")
        looked = _look(union, options.rate)
    total, cpu_ms = sum(looked.parts.values()), looked.cpu_s / looked.records * 1000
    tell_table(["part", "share"], [[part, f"{100 * n / total:.0f} %"] for part, n in looked.parts.most_common()])
    print(f"{total} looks while {looked.records} records were synced, {cpu_ms:.2f} ms of processor time each")
    tell_machine()
    return 0


def _look(union: Union, rate: int) -> _Looked:
    """Have a worker sync all that is open, and look at it from its first request on. Raises RuntimeError."""
    spy, found = shutil.which("py-spy", path=str(Path(sys.executable).parent)), Path(union.env["DATAUNION_VAR_DIR"])
    file = found / "looks.txt"
    with run_workers(union.env, [our_worker(0)]) as [worker]:
        before = _wait_for_first(union.sink)
        cpu_s = read_cpu_s(worker.pid)
        command = [spy or "py-spy", "record", "--format", "raw", "--rate", str(rate), "--output", str(file)]
        looking = subprocess.Popen([*command, "--pid", str(worker.pid)], stdout=subprocess.DEVNULL)
        ended = answer(begin(union.env, "benchmarks._records", "follow", str(PATIENCE_S)))
        cpu_s = read_cpu_s(worker.pid) - cpu_s
        looking.send_signal(signal.SIGINT)
        if looking.wait(PATIENCE_S) or ended["left"]:
            raise RuntimeError(f"py-spy ended with {looking.returncode}, and {ended['left']} records are open")
    return _Looked(_count(file.read_text().splitlines()), cpu_s, len(union.sink.report()["objects"]) - before)


def _wait_for_first(sink: Sink) -> int:
    """Wait until an object is stored; return how many are. Raises RuntimeError."""
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at:
        if stored := len(sink.report()["objects"]):
            return stored
        time.sleep(0.02)
    raise RuntimeError(f"the worker stored nothing in {_START_S} s")


def _count(lines: Iterable[str]) -> Counter[str]:
    """Count looks by part, of py-spy's lines: "outermost (file:line);…;innermost (file:line) COUNT"."""
    found: Counter[str] = Counter()
    for line in lines:
        frames, _, count = line.rpartition(" ")
        files = [frame.rpartition("(")[2] for frame in reversed(frames.split(";"))]
        if files[0].startswith(_WAITING):
            continue
        found[next((part for file in files if (part := _part(file))), _REST)] += int(count)
    return found


def _part(file: str) -> str | None:
    return next((part for part, beginnings in _PARTS if file.startswith(beginnings)), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
