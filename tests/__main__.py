"""./run test: every test on SQLite, and every test that touches the database on MongoDB (SecantusDB) as well.

Both at once, since each leaves most of one core alone; then, with the machine to themselves, those that measure time.
The matrix of faults is long: on MongoDB it runs where it is asked for, `./run test faults`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITES = {
    "model": ["tests/suites/test_model.py"],
    "queue": ["tests/suites/test_queue.py"],
    "admin": ["tests/suites/test_admin_api.py"],
    "flows": ["tests/flows"],
    "faults": ["tests/faults"],
}
SABOTAGE = "sabotage"
NO_TESTS = 5  # pytest's status when nothing was left to run, as on MongoDB for tests that touch no database


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every run was green and, for the whole suite, the coverage is enough."""
    parser = argparse.ArgumentParser(prog="./run test", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help=f"{', '.join(SUITES)}, {SABOTAGE}, or paths; default: every test")
    parser.add_argument("--db", choices=("sqlite", "mongodb", "all"), default="all")
    options, passed_on = parser.parse_known_args(argv)
    if SABOTAGE in options.what:
        arguments = [*(name for name in options.what if name != SABOTAGE), *passed_on]
        return subprocess.run([sys.executable, "-m", "tests.sabotage", *arguments], cwd=ROOT, check=False).returncode
    paths = [path for what in options.what for path in SUITES.get(what, [what])]
    databases = ("sqlite", "mongodb") if options.db == "all" else (options.db,)
    with tempfile.TemporaryDirectory(prefix="dataunion-tests-") as folder, ExitStack() as held:
        home = Path(folder)
        arguments = {name: [*(paths or _everything(name)), *passed_on] for name in databases}
        runs = [Run(name, held.enter_context(_database(name)), arguments[name], home) for name in databases]
        failed = [run.database for run in runs if not run.is_green()] if len(runs) == 1 else _run_all(runs)
        if not paths and options.db == "all" and not _is_covered(home):
            failed.append("coverage")
        _tell_skipped(home / "skips")
    print(f"tests: {'failed on ' + ', '.join(failed) if failed else 'green on ' + ' and '.join(databases)}", flush=True)
    return 1 if failed else 0


def _everything(database: str) -> list[str]:
    """Return what `./run test` means on a database when it names nothing."""
    return ["--ignore=tests/faults"] if database == "mongodb" else []


def _run_all(runs: Sequence[Run]) -> list[str]:
    """Run all at once, the first one in sight; then, one after the other, what measures time. Return what failed."""
    failed = []
    hidden = [run.begin("not alone") for run in runs[1:]]
    if not runs[0].is_green("not alone"):
        failed.append(runs[0].database)
    for run, process in zip(runs[1:], hidden, strict=True):
        print(f"tests: waiting for those on {run.database}", flush=True)
        status = process.wait()
        sys.stdout.write(run.output.read_text(errors="replace"))
        if status not in (0, NO_TESTS):
            failed.append(run.database)
    return list(dict.fromkeys(failed + [run.database for run in runs if not run.is_green("alone")]))


class Run:
    """The tests on one database."""

    def __init__(self, database: str, url: str, arguments: Sequence[str], home: Path) -> None:
        self.database, self.output = database, home / f"{database}.log"
        var = home / database
        var.mkdir()
        self._env = {**_environment(home), "DATAUNION_VAR_DIR": str(var)}
        self._env["DATABASE_URL"] = url or f"sqlite:///{var}/tests.sqlite3"
        options = ["-p", "tests.plugin", f"--note-skips={home / 'skips'}"]
        options += ["--only-database"] if database == "mongodb" else []
        self._command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *options, *arguments]

    def is_green(self, marked: str = "") -> bool:
        """Run the tests with this mark (all, unless said), in sight."""
        print(f"tests: on {self.database}{f', {marked}' * bool(marked)}", flush=True)
        return subprocess.run(self._marked(marked), cwd=ROOT, env=self._env, check=False).returncode in (0, NO_TESTS)

    def begin(self, marked: str) -> subprocess.Popen[bytes]:
        """Start the tests with this mark; what they say goes to `output`."""
        with self.output.open("wb") as output:
            output.write(f"tests: on {self.database}, {marked}\n".encode())
            output.flush()
            return subprocess.Popen(self._marked(marked), cwd=ROOT, env=self._env, stdout=output, stderr=output)

    def _marked(self, marked: str) -> list[str]:
        return [*self._command, "-m", marked] if marked else self._command


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
