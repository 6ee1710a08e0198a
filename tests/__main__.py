"""./run test: every test on SQLite, and every test that touches the database on MongoDB (SecantusDB) as well."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITES = {
    "model": ["tests/suites/test_model.py"],
    "queue": ["tests/suites/test_queue.py"],
    "admin": ["tests/suites/test_admin_api.py"],
    "flows": ["tests/flows"],
}
# What the database never sees runs once.
DATABASE_TESTS = ["tests/dataunion", "tests/api", "tests/admin", "tests/suites", "tests/flows", "tests/ledger"]


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every run was green and, for the whole suite, the coverage is enough."""
    parser = argparse.ArgumentParser(prog="./run test", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"{', '.join(SUITES)}, or paths; default: everything")
    parser.add_argument("--db", choices=("sqlite", "mongodb", "all"), default="all")
    options, passed_on = parser.parse_known_args(argv)
    paths = [path for what in options.what for path in SUITES.get(what, [what])]
    databases = ("sqlite", "mongodb") if options.db == "all" else (options.db,)
    whole = not paths and options.db == "all"
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    failed = [name for name in databases if _run(name, paths, passed_on) not in (0, 5)]
    if whole:
        _coverage("combine", "--quiet")
        if _coverage("report") != 0:
            failed.append("coverage")
    print(f"tests: {'failed on ' + ', '.join(failed) if failed else 'green on ' + ' and '.join(databases)}", flush=True)
    return 1 if failed else 0


def _run(database: str, paths: list[str], passed_on: list[str]) -> int:
    print(f"tests: on {database}", flush=True)
    if database == "mongodb" and not paths:
        paths = [path for path in DATABASE_TESTS if (ROOT / path).exists()]
    with _database(database) as url, tempfile.TemporaryDirectory(prefix="dataunion-tests-") as home:
        env = {**os.environ, "DATAUNION_VAR_DIR": home, "DATABASE_URL": url or f"sqlite:///{home}/tests.sqlite3"}
        command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *paths, *passed_on]
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


@contextmanager
def _database(name: str) -> Iterator[str]:
    """Give the address of a database that lives as long as the run; empty for SQLite, which is a file."""
    if name == "sqlite":
        yield ""
        return
    from tests.mongodb import serve

    with serve() as url:
        yield url


def _coverage(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
