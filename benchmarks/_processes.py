"""The processes that benchmarks measure: each on a database of its own, asked by arguments, answering in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATABASES = ("sqlite", "mongodb", "postgresql")


@contextmanager
def new_database(name: str) -> Iterator[dict[str, str]]:
    """Give the environment of processes that work on a new, empty database, which writes as in a deployment.

    MongoDB is SecantusDB unless MONGODB_TEST_URI names a server. DATAUNION_VAR_DIR is a folder of their own.
    """
    from tests import mongodb, postgresql

    with tempfile.TemporaryDirectory(prefix="dataunion-bench-") as folder:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATAUNION_VAR_DIR": folder}
        env["DATAUNION_LOG_LEVEL"] = "ERROR"
        if name == "sqlite":
            yield {**env, "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3"}
            return
        with mongodb.serve() if name == "mongodb" else postgresql.serve(durable=True) as url:
            yield {**env, "DATABASE_URL": url}


def begin(env: Mapping[str, str], module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of ours with these arguments; its last line of output is to be JSON."""
    command, pipe = [sys.executable, "-m", module, *arguments], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=dict(env), stdin=pipe, stdout=pipe, text=True)


def answer(process: subprocess.Popen[str]) -> Any:
    """Wait for a process, and return what it said last. Raises RuntimeError if it failed."""
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return json.loads(said.splitlines()[-1])
