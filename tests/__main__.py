"""./run test: every test on SQLite, and every test that touches the database on the other databases as well.

SQLite is in sight; beside it run the matrix of faults and the other databases, two runs at once, since each leaves
most of one core alone; then, with the machine to themselves, those that measure time. The matrix is long: on another
database than SQLite it runs where it is asked for, `./run test faults --db mongodb`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.differences import tell_differences
from tests.postgresql import ServerMissingError

ROOT = Path(__file__).resolve().parent.parent
SUITES = {
    "model": ["tests/suites/test_model.py"],
    "queue": ["tests/suites/test_queue.py"],
    "admin": ["tests/suites/test_admin_api.py"],
    "flows": ["tests/flows"],
    "faults": ["tests/faults"],
}
SABOTAGE = "sabotage"
DATABASES = ("sqlite", "mongodb", "postgresql")
USUAL = DATABASES[:2]
WITHOUT_FAULTS = ["--ignore=tests/faults"]
NO_TESTS = 5  # pytest's status when nothing was left to run, as on MongoDB for tests that touch no database


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every run was green and, for the whole suite, the coverage is enough."""
    parser = argparse.ArgumentParser(prog="./run test", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help=f"{', '.join(SUITES)}, {SABOTAGE}, or paths; default: every test")
    parser.add_argument("--db", choices=(*DATABASES, "all"), help="default: sqlite and mongodb; faults: sqlite")
    options, passed_on = parser.parse_known_args(argv)
    if SABOTAGE in options.what:
        arguments = [*(name for name in options.what if name != SABOTAGE), *passed_on]
        return subprocess.run([sys.executable, "-m", "tests.sabotage", *arguments], cwd=ROOT, check=False).returncode
    paths = [path for what in options.what for path in SUITES.get(what, [what])]
    usual = DATABASES[:1] if options.what == ["faults"] else USUAL
    wanted = usual if options.db is None else DATABASES if options.db == "all" else (options.db,)
    with tempfile.TemporaryDirectory(prefix="dataunion-tests-") as folder, ExitStack() as held:
        home = Path(folder)
        urls, missing = _serve(wanted, held)
        if missing and len(wanted) == 1:
            parser.error(missing[0])
        runs = [Run(name, url, [*(paths or WITHOUT_FAULTS), *passed_on], home) for name, url in urls.items()]
        if not paths and runs[0].database == "sqlite":
            runs[1:1] = [Run("sqlite", "", [*SUITES["faults"], *passed_on], home, what="faults")]
        runs[0].is_measured = is_whole = not paths and len(runs) > 1
        failed = [str(run) for run in runs if not run.is_green()] if len(runs) == 1 else _run_all(runs)
        if is_whole and not _is_covered(home):
            failed.append("coverage")
        tell_skipped(home / "skips", missing)
        tell_differences(home / "differences")
    print(f"tests: {'failed on ' + ', '.join(failed) if failed else 'green on ' + ' and '.join(urls)}", flush=True)
    return 1 if failed else 0


def _serve(wanted: Sequence[str], held: ExitStack) -> tuple[dict[str, str], list[str]]:
    """Start the servers; return their addresses, and why there is none of some."""
    urls, missing = {}, []
    for name in wanted:
        try:
            urls[name] = held.enter_context(_database(name))
        except ServerMissingError as error:
            missing.append(f"every test on {name}: {error}")
    return urls, missing


def _run_all(runs: Sequence[Run]) -> list[str]:
    """Run the first in sight and the others beside it; then, one by one, what measures time. Return what failed."""
    first, waiting, green = runs[0], deque(runs[1:]), {}

    def work_off() -> None:
        while True:
            try:
                run = waiting.popleft()
            except IndexError:
                return
            green[run] = run.is_green_unseen("not alone")

    beside = ThreadPoolExecutor(max_workers=1)
    try:
        hidden = beside.submit(work_off)
        green[first] = first.is_green("not alone")
        print("tests: waiting for those on " + ", ".join(str(run) for run in runs if run not in green), flush=True)
        work_off()
        hidden.result()
    finally:
        waiting.clear()
        beside.shutdown()
    for run in runs[1:]:
        sys.stdout.write(run.output.read_text(errors="replace"))
    return [str(run) for run in runs if not (run.is_green("alone") and green[run])]


class Run:
    """Tests on one database: those that the arguments name, which `what` says in a word.

    Coverage is measured in one run's own process only: it makes whatever is measured nearly twice as slow.
    """

    def __init__(self, database: str, url: str, arguments: Sequence[str], home: Path, what: str = "") -> None:
        self.database, self._name = database, f"{database}, {what}" if what else database
        self.output, var = home / f"{self._name}.log", home / self._name.replace(", ", "-")
        var.mkdir()
        self.is_measured = False
        self._env = {**_environment(home), "DATAUNION_VAR_DIR": str(var)}
        self._env["DATABASE_URL"] = url or f"sqlite:///{var}/tests.sqlite3"
        options = ["-p", "tests.plugin", f"--note-skips={home / 'skips'}"]
        options += [f"--note-differences={home / 'differences'}"]
        options += [] if database == "sqlite" else ["--only-database"]
        self._arguments = ["-m", "pytest", *options, *arguments]

    def __str__(self) -> str:
        return self._name

    def is_green(self, marked: str = "") -> bool:
        """Run the tests with this mark (all, unless said), in sight."""
        print(f"tests: on {self}{f', {marked}' * bool(marked)}", flush=True)
        return subprocess.run(self._marked(marked), cwd=ROOT, env=self._env, check=False).returncode in (0, NO_TESTS)

    def is_green_unseen(self, marked: str) -> bool:
        """Run the tests with this mark; what they say goes to `output`."""
        with self.output.open("wb") as output:
            output.write(f"tests: on {self}, {marked}\n".encode())
            output.flush()
            done = subprocess.run(
                self._marked(marked), cwd=ROOT, env=self._env, check=False, stdout=output, stderr=output
            )
        return done.returncode in (0, NO_TESTS)

    def _marked(self, marked: str) -> list[str]:
        measured = ["-m", "coverage", "run"] * self.is_measured
        return [sys.executable, *measured, *self._arguments, *(["-m", marked] if marked else [])]


def _environment(home: Path) -> dict[str, str]:
    """Return the environment in which what was covered is left in this run's own folder."""
    return {**os.environ, "COVERAGE_FILE": str(home / "coverage")}


@contextmanager
def _database(name: str) -> Iterator[str]:
    """Give the address of a database that lives as long as the run; empty for SQLite, which is a file."""
    if name == "sqlite":
        yield ""
        return
    from tests import mongodb, postgresql

    with mongodb.serve() if name == "mongodb" else postgresql.serve() as url:
        yield url


def _is_covered(home: Path) -> bool:
    """Put together what was covered, alone and not, and print it."""
    _coverage(home, "combine", "--quiet")
    return _coverage(home, "report") == 0


def _coverage(home: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=_environment(home), check=False).returncode


def tell_skipped(notes: Path, missing: Sequence[str]) -> None:
    """Print what was not run and should have been; `.ci/run` looks for lines that begin with SKIPPED."""
    skipped = list(dict.fromkeys(notes.read_text().splitlines())) if notes.exists() else []
    for whole in missing:
        print(f"SKIPPED {whole}", flush=True)
    if skipped:
        print(f"tests: {len(skipped)} skipped:", *skipped, sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
