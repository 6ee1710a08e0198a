"""A MongoDB for the tests: SecantusDB in a process of its own, on a free port, gone afterwards.

MONGODB_TEST_URI names a real server to use instead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 60.0


@contextmanager
def serve() -> Iterator[str]:
    """Give the address of a server, with a database's name."""
    given = os.environ.get("MONGODB_TEST_URI")
    if given:
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("secantusd-py")
    with tempfile.TemporaryDirectory(prefix="secantus-") as home:
        command = [str(program), "--port", str(port), "--storage-path", ":memory:", "--log-level", "ERROR"]
        with (Path(home) / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
        try:
            _await(server, port)
            yield f"mongodb://127.0.0.1:{port}/dataunion?directConnection=true"
        finally:
            server.kill()  # it keeps nothing, and on SIGTERM it waits for clients
            server.wait()


def _await(server: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        if server.poll() is not None:
            raise RuntimeError(f"SecantusDB ended at its start, status {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"SecantusDB did not answer within {START_S} s")
