"""./run test sabotage [NAME …]: take each guard out of a copy in turn; the tests that its patch names must fail."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.sabotage import patches, workshop
from tests.sabotage.patches import BadPatchError, Sabotage

ROOT = Path(__file__).resolve().parent.parent.parent


def main(argv: Sequence[str] | None = None, *, root: Path = ROOT, folder: Path = patches.FOLDER) -> int:
    """Return 0 if every sabotage was found by every test that it names."""
    parser = argparse.ArgumentParser(prog="./run test sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="sabotages; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args(argv)
    try:
        sabotages = patches.find_sabotages(folder, options.names)
    except BadPatchError as error:
        print(f"sabotage: {error}", flush=True)
        return 1
    with tempfile.TemporaryDirectory(prefix="dataunion-sabotage-") as home:
        clean = Path(home) / "clean"
        workshop.copy_project(root, clean)
        with ThreadPoolExecutor(options.jobs) as threads:
            if not _is_green(sabotages, clean, threads, options.jobs):
                return 1
            futures = [threads.submit(_try, sabotage, clean, Path(home) / sabotage.name) for sabotage in sabotages]
            found = sum(future.result() for future in as_completed(futures))
    print(f"{found} of {len(sabotages)} sabotages were found", flush=True)
    return 0 if found == len(sabotages) else 1


def _is_green(sabotages: Sequence[Sabotage], clean: Path, threads: ThreadPoolExecutor, parts: int) -> bool:
    """Say whether all named tests pass while nothing is taken away; else name those that do not."""
    began = time.monotonic()
    tests = sorted({test for sabotage in sabotages for test in sabotage.fails})
    size = -(-len(tests) // parts)
    runs = [threads.submit(workshop.run_tests, tests[at : at + size], clean) for at in range(0, len(tests), size)]
    try:
        wrong = {test: said for run in runs for test, said in run.result().items() if said != "passed"}
    except BadPatchError as error:
        print(f"sabotage: before anything was taken away: {error}", flush=True)
        return False
    for test, said in wrong.items():
        print(f"sabotage: {test}: {said} before anything was taken away; mend the test or its name", flush=True)
    if not wrong:
        print(f"sabotage: {len(tests)} tests pass on the whole product, {time.monotonic() - began:.1f} s", flush=True)
    return not wrong


def _try(sabotage: Sabotage, clean: Path, copy: Path) -> bool:
    """Apply one patch to a fresh copy and run its tests; print what came of it."""
    began = time.monotonic()
    shutil.copytree(clean, copy, ignore=shutil.ignore_patterns("var"))
    try:
        workshop.apply(sabotage, copy)
        outcomes = workshop.run_tests(sabotage.fails, copy)
    except BadPatchError as error:
        _tell("BROKEN", sabotage, began, str(error))
        return False
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    survived = {test: said for test, said in outcomes.items() if said != "failed"}
    if survived:
        _tell("SURVIVED", sabotage, began, "; ".join(f"{test}: {said}" for test, said in survived.items()))
        print(f"          {sabotage.removes}", flush=True)
        return False
    _tell("killed", sabotage, began, ", ".join(test.rpartition("::")[2] for test in sabotage.fails))
    return True


def _tell(word: str, sabotage: Sabotage, began: float, why: str) -> None:
    print(f"{word:8}  {sabotage.name:28} {time.monotonic() - began:5.1f} s  ({why})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
