"""A PostgreSQL for the tests: Debian's server on a free port, in a folder of its own, gone afterwards.

Its initdb refuses root; root has it run as `nobody`. The folder is not kept, so what it holds need not reach the disk.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

START_S = 60.0
USER = "dataunion"
REMEDY = "PostgreSQL's server is not on this machine. On Debian: apt-get install postgresql"
_INSTALLED = Path("/usr/lib/postgresql")
_CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class ServerMissingError(Exception):
    """There is no server to start; the message says how to get one."""


@contextmanager
def serve(*, durable: bool = False) -> Iterator[str]:
    """Give the address of a server, with a database's name. Raises ServerMissingError.

    `durable`: it writes as in a deployment, for what is measured.
    """
    programs = find_programs()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgresql-") as home:
        someone: dict[str, Any] = _someone(home)
        data = Path(home) / "data"
        initdb = [str(programs / "initdb"), "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--locale=C.UTF-8", f"--pgdata={data}"],
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            **someone,
        )
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"]
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        command += [part for option in (*options, *(() if durable else _CARELESS)) for part in ("-c", option)]
        with (Path(home) / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **someone)
        try:
            _await(server, f"postgresql://{USER}@127.0.0.1:{port}/postgres")
            yield create_database(f"postgresql://{USER}@127.0.0.1:{port}/postgres", "dataunion")
        finally:
            server.send_signal(signal.SIGINT)  # its quick way to end: nobody is waited for
            server.wait(30)


def find_programs(installed: Path = _INSTALLED) -> Path:
    """Return the folder of the newest server's programs. Raises ServerMissingError."""
    found = [path.parent for path in installed.glob("*/bin/postgres") if re.fullmatch(r"\d+", path.parts[-3])]
    if not found:
        raise ServerMissingError(REMEDY)
    return max(found, key=lambda folder: int(folder.parts[-2]))


def create_database(url: str, name: str) -> str:
    """Make an empty database on the server at this address; return its address."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"


def _someone(home: str) -> dict[str, Any]:
    """Return as whom to run, and let them have the folder."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _await(server: subprocess.Popen[bytes], url: str) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at its start, status {server.returncode}")
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not answer within {START_S} s")
