"""Processes that are forks: one process sets Django up, then forks another one for each piece of work it is told.

A fork is a process like any other (it opens its own connections, and SIGKILL ends it in the middle of anything), but
spares the seconds that Python takes to load everything.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.flows.house import ROOT, Process, launch

KILLED = -signal.SIGKILL
_ENDS_WITHIN_S = 120.0


class Fork:
    """One of these processes, with what House wants of one."""

    def __init__(self, ask: Callable[..., Any], pid: int) -> None:
        self._ask, self.pid = ask, pid

    def poll(self) -> int | None:
        """Return how it ended: its status, or minus the signal that killed it; None while it runs."""
        status: int | None = self._ask("poll", self.pid)
        return status

    def wait(self, timeout: float | None = _ENDS_WITHIN_S) -> int:
        """Wait until it has ended; return how."""
        give_up_at = time.monotonic() + (timeout or _ENDS_WITHIN_S)
        while (status := self.poll()) is None:
            if time.monotonic() > give_up_at:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or _ENDS_WITHIN_S)
            time.sleep(0.01)
        return status

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


class Forks:
    """The test's side: `run("push", "akave", crash="syncjobs update 1 after")` returns how that process ended."""

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self.logs = logs
        with (logs / "forks.log").open("ab") as stderr:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.forks"],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def _ask(self, *told: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(told) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, work: str, *args: str, log: str = "forks.log", **env: str) -> Fork:
        """Begin a piece of work (see WORK) in a process of its own, with these variables in its environment."""
        return Fork(self._ask, self._ask("start", work, args, env, str(self.logs / log)))

    def run(self, work: str, *args: str, crash: str = "") -> int:
        """Do a piece of work, perhaps to a point of crashes; return how its process ended."""
        return self.start(work, *args, FAULTS_CRASH=crash).wait()

    def kill(self, fork: Fork) -> None:
        """SIGKILL."""
        os.kill(fork.pid, signal.SIGKILL)
        assert fork.wait() == KILLED

    def end(self) -> None:
        """End the process that forks; its forks have ended before."""
        self._server.communicate(timeout=30)


class ForkingLaunch:
    """Launches a house's workers and beats as forks; what is no Celery, or has settings of its own, as ever."""

    def __init__(self, common: Mapping[str, str]) -> None:
        self._common = common
        self._forks: Forks | None = None
        self._env: dict[str, str] = {}

    def __call__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        if command[1] != "celery":
            return launch(command, env, log)
        if self._forks is None:
            # Not what the first one alone was given: every fork would have it.
            self._env = {**self._common, "REDIS_URL": env["REDIS_URL"]}
            self._forks = Forks(self._env, log.parent)
        own = {key: value for key, value in env.items() if self._env.get(key) != value}
        if own.keys() - _READ_BY_FORKS:
            return launch(command, env, log)  # what else is in the environment, settings have read already
        return self._forks.start("celery", *command[2:], log=log.name, **own)

    def end(self) -> None:
        """End the process that forks."""
        if self._forks is not None:
            self._forks.end()


_READ_BY_FORKS = {"FAULTS_CRASH", "FAULTS_CLOCK_S"}


# --- the other side


def _push(partner: str) -> None:
    from dataunion.sync import engine

    engine.push(partner)


def _tick() -> None:
    from dataunion.sync.tick import tick

    tick()


def _hand_in(data_id: str) -> None:
    from tests.faults.union import register

    register(data_id)


def _celery(*args: str) -> None:
    from celery.bin.celery import main

    sys.argv = ["celery", *args]
    main()


WORK: Mapping[str, Callable[..., None]] = {"push": _push, "tick": _tick, "hand_in": _hand_in, "celery": _celery}
_PRELOADED = ("celery.bin.celery", "celery.apps.worker", "celery.worker", "celery.beat", "kombu.transport.redis")
_ADAPTERS = ("partners.akave.adapter", "partners.vana.adapter", "partners.webhook.adapter", "tests.faults.union")


def serve() -> None:
    """Be the process that forks, until nobody asks any more."""
    import django

    django.setup()
    for name in (*_PRELOADED, *_ADAPTERS):
        __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        word, *told = json.loads(line)
        answers.write(json.dumps(_poll(*told) if word == "poll" else _fork(*told)) + "\n")
        answers.flush()


_ended: dict[int, int] = {}


def _poll(pid: int) -> int | None:
    if pid not in _ended:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            _ended[pid] = os.waitstatus_to_exitcode(status)
    return _ended.get(pid)


def _fork(work: str, args: list[str], env: dict[str, str], log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _settle_in(env, log)
        WORK[work](*args)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _settle_in(env: Mapping[str, str], log: str) -> None:
    """Become a process of one's own: group, log, environment, and what is read of that."""
    from tests.faults import clocks, crashes

    os.setpgid(0, 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(env)
    crashes.arm_from_environment()
    clocks.shift_from_environment(os.environ)


if __name__ == "__main__":
    serve()
