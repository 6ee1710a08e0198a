"""Workers that are forks: one process sets Django up, then forks another one for each piece of work it is told.

A fork is a process like any other (it opens its own connections, and SIGKILL ends it in the middle of anything), and
costs no start. It works without a broker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.flows.house import ROOT

KILLED = -signal.SIGKILL


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
        self._ask("ready")

    def _ask(self, word: str, *told: Any) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([word, *told]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(self, work: str, *args: str, crash: str = "") -> int:
        """Begin a piece of work (see WORK) in a process of its own; return its pid. `crash` is a point of crashes."""
        return self._ask("start", work, list(args), crash)

    def wait(self, pid: int) -> int:
        """Return how a process ended: its status, or minus the signal that killed it."""
        return self._ask("wait", pid)

    def run(self, work: str, *args: str, crash: str = "") -> int:
        """Do a piece of work; return how its process ended."""
        return self.wait(self.start(work, *args, crash=crash))

    def kill(self, pid: int) -> None:
        """SIGKILL."""
        os.kill(pid, signal.SIGKILL)
        assert self.wait(pid) == KILLED

    def end(self) -> None:
        """End the process that forks; its forks have ended before."""
        self._server.communicate(timeout=30)


def _push(partner: str) -> None:
    from dataunion.sync import engine

    engine.push(partner)


def _tick() -> None:
    from dataunion.sync.tick import tick

    tick()


def _hand_in(data_id: str) -> None:
    from tests.faults.union import register

    register(data_id)


WORK: Mapping[str, Callable[..., None]] = {"push": _push, "tick": _tick, "hand_in": _hand_in}


def serve() -> None:
    """Be the process that forks, until nobody asks any more."""
    import django

    django.setup()
    from partners.akave import adapter as _akave  # noqa: F401 - loaded once, here
    from partners.vana import adapter as _vana  # noqa: F401
    from tests.faults import union as _union  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        word, *told = json.loads(line)
        answers.write(f"{_answer(word, told)}\n")
        answers.flush()


def _answer(word: str, told: list[Any]) -> int:
    if word == "wait":
        return os.waitstatus_to_exitcode(os.waitpid(told[0], 0)[1])
    return _fork(*told) if word == "start" else 0


def _fork(work: str, args: list[str], crash: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        from tests.faults import crashes

        os.environ[crashes.VARIABLE] = crash
        crashes.arm_from_environment()
        WORK[work](*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
