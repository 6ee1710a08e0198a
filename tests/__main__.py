"""./run test: every test on SQLite, and every test that touches the database on MongoDB (SecantusDB) as well."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITES = {
    "model": ["tests/suites/test_model.py"],
    "queue": ["tests/suites/test_queue.py"],
    "admin": ["tests/suites/test_admin_api.py"],
    "flows": ["tests/flows"],
}
NO_TESTS = 5  # pytest's status when nothing was left to run, as on MongoDB for tests that touch no database


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every run was green and, for the whole suite, the coverage is enough."""
    parser = argparse.ArgumentParser(prog="./run test", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"{', '.join(SUITES)}, or paths; default: everything")
    parser.add_argument("--db", choices=("sqlite", "mongodb", "all"), default="all")
    options, passed_on = parser.parse_known_args(argv)
    paths = [path for what in options.what for path in SUITES.get(what, [what])]
    databases = ("sqlite", "mongodb") if options.db == "all" else (options.db,)
    with tempfile.TemporaryDirectory(prefix="dataunion-tests-") as folder:
        home = Path(folder)
        failed = [name for name in databases if _run(name, [*paths, *passed_on], home) not in (0, NO_TESTS)]
        if not paths and options.db == "all" and not _is_covered(home):
            failed.append("coverage")
        _tell_skipped(home / "skips")
    print(f"tests: {'failed on ' + ', '.join(failed) if failed else 'green on ' + ' and '.join(databases)}", flush=True)
    return 1 if failed else 0


def _run(database: str, arguments: Sequence[str], home: Path) -> int:
    print(f"tests: on {database}", flush=True)
    options = ["-p", "tests.plugin", f"--note-skips={home / 'skips'}"]
    options += ["--only-database"] if database == "mongodb" else []
    with _database(database) as url:
        var = home / database
        var.mkdir()
        env = {**_environment(home), "DATAUNION_VAR_DIR": str(var)}
        env["DATABASE_URL"] = url or f"sqlite:///{var}/tests.sqlite3"
        command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *options, *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def _environment(home: Path) -> dict[str, str]:
    """Return the environment in which every process, workers too, leaves what it covered in this run's own folder."""
    return {**os.environ, "COVERAGE_FILE": str(home / "coverage")}


@contextmanager
def _database(name: str) -> Iterator[str]:
    """Give the address of a database that lives as long as the run; empty for SQLite, which is a file."""
    if name == "sqlite":
        yield ""
        return
    from tests.mongodb import serve

    with serve() as url:
        yield url


def _is_covered(home: Path) -> bool:
    """Put together what all processes covered, and print it; what a killed one left unfinished is passed by."""
    _coverage(home, "combine", "--quiet")
    return _coverage(home, "report") == 0


def _coverage(home: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=_environment(home), check=False).returncode


def _tell_skipped(notes: Path) -> None:
    skipped = list(dict.fromkeys(notes.read_text().splitlines())) if notes.exists() else []
    if skipped:
        print(f"tests: {len(skipped)} skipped:", *skipped, sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
