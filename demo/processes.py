"""The demo's processes: started with a log file each, killed by their id, ended together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

RESTARTS = 3


class StartError(Exception):
    """A process ended, or said nothing, when it should have started; the message names its log."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Processes:
    """Children of the demo by name. They get a process group of their own, so that Ctrl-C reaches the demo first."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self.env = folder, dict(env)
        self._commands: dict[str, tuple[Sequence[str], bool]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, *command: str, answers: bool = False) -> None:
        """Start `python …`; its output goes to its log, or to `read_answer` if it answers."""
        self._commands[name] = (command, answers)
        with self._log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *command],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if answers else log,
                stderr=log,
                process_group=0,
            )

    def restart(self, name: str) -> None:
        """Start a process again with the same command."""
        command, answers = self._commands[name]
        self.start(name, *command, answers=answers)

    def restart_unless_hopeless(self, name: str) -> None:
        """Start a process again that ended by itself. Raises StartError when it did so too often."""
        self._ended[name] += 1
        if self._ended[name] > RESTARTS:
            raise StartError(f"{name} ended {RESTARTS + 1} times; its log says why: {self._log(name)}")
        self.restart(name)

    def read_answer(self, name: str) -> dict[str, Any]:
        """Wait for the one JSON line that a server prints when it is ready. Raises StartError."""
        output: IO[bytes] | None = self._running[name].stdout
        line = output.readline() if output else b""
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise StartError(f"{name} did not start; its log: {self._log(name)}") from None
        return answer

    def kill(self, name: str) -> None:
        """SIGKILL, as a machine would that lost its power."""
        process = self._running[name]
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def find_ended(self) -> list[str]:
        """Return the names of processes that ended though nobody asked."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop_all(self, patience_s: float = 5.0) -> None:
        """SIGTERM to all, SIGKILL to those that do not go."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        give_up_at = time.monotonic() + patience_s
        for process in self._running.values():
            try:
                process.wait(max(0.1, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout:
                process.stdout.close()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
