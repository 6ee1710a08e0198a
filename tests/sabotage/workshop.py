"""Copies of the project in which patches are applied and tests run; the project itself is never touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from tests.sabotage.patches import BadPatchError, Sabotage

LONGEST_S = 180.0
_NOT_OURS = ("GIT_", "COVERAGE_", "PYTEST_", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "MONGODB_TEST_URI")


def copy_project(root: Path, to: Path) -> None:
    """Copy the files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=root,
        env=_environment(to),
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # one that was deleted and not committed is still listed
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def check_fit(sabotage: Sabotage, folder: Path) -> None:
    """Raise BadPatchError where the patch does not fit what is in the folder."""
    _git_apply(sabotage, folder, "--check")


def _git_apply(sabotage: Sabotage, folder: Path, *options: str) -> None:
    applied = _run(["git", "apply", "-p1", *options, str(sabotage.path.resolve())], folder)
    if applied.returncode:
        raise BadPatchError(
            f"does not apply to {', '.join(sabotage.files)}: {applied.stderr.strip().splitlines()[0]}; "
            "the product has changed there: make the patch anew as tests/sabotage/patches.py says"
        )


def apply(sabotage: Sabotage, copy: Path) -> None:
    """Apply the patch in the copy. Raises BadPatchError where it does not fit or leaves code that cannot run."""
    _git_apply(sabotage, copy)
    lint = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E9,F821,F823", *sabotage.files]
    checked = _run(lint, copy)
    if checked.returncode:
        raise BadPatchError(f"leaves code that cannot run: {checked.stdout.strip()}")


def run_tests(tests: Iterable[str], copy: Path) -> dict[str, str]:
    """Run these tests in the copy; say of each: passed, failed, error, skipped, or "not run".

    A test of several cases has failed when one of them has. Raises BadPatchError when they do not end.
    """
    wanted = list(dict.fromkeys(tests))
    home = copy / "var" / f"sabotage-{abs(hash(tuple(wanted)))}"
    home.mkdir(parents=True)
    report = home / "report.xml"
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", f"--junitxml={report}", "-o", "junit_family=xunit1"]
    _run([sys.executable, "-m", "pytest", *options, *wanted], copy, home)
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    return {test: _outcome(test, cases) for test in wanted}


def _outcome(test: str, cases: list[ElementTree.Element]) -> str:
    path, *inside = test.split("::")
    where, name = ".".join([path.removesuffix(".py").replace("/", "."), *inside[:-1]]), inside[-1]
    seen = set()
    for case in cases:
        if case.get("classname") == where and name in (case.get("name"), case.get("name", "").partition("[")[0]):
            seen.add(next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed"))
    known = {"error": "error", "failure": "failed", "skipped": "skipped", "passed": "passed"}
    return next((said for tag, said in known.items() if tag in seen), "not run")


def _run(command: list[str], copy: Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy; whatever it started ends with it."""
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=_environment(copy, home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise BadPatchError(f"its tests did not end within {LONGEST_S:.0f} s; name tests that do") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _environment(copy: Path, home: Path | None = None) -> dict[str, str]:
    """Return an environment of the copy's own: its database, and no repository around it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
    env["GIT_CEILING_DIRECTORIES"] = str(copy.parent)
    if home:
        env |= {"DATAUNION_VAR_DIR": str(home), "DATABASE_URL": f"sqlite:///{home}/tests.sqlite3"}
    return env
