"""The runner, on a project of three lines; and that each patch of ours is whole and fits the product as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sabotage import patches, workshop
from tests.sabotage.__main__ import ROOT, main

Run = Callable[..., int]

GUARD = "def take(wanted):\n    if wanted > 3:\n        raise ValueError\n    return wanted\n"
TESTS = (
    "import pytest\nfrom product.guard import take\n\n"
    "@pytest.mark.parametrize('wanted', [4, 2])\n"
    "def test_too_much_is_refused(wanted):\n"
    "    if wanted > 3:\n        with pytest.raises(ValueError):\n            take(wanted)\n\n"
    "def test_little_is_given():\n    assert take(1) == 1\n"
)
FILE = "diff --git a/product/guard.py b/product/guard.py\n--- a/product/guard.py\n+++ b/product/guard.py\n"
WITHOUT_GUARD = (
    "@@ -1,4 +1,2 @@\n def take(wanted):\n-    if wanted > 3:\n-        raise ValueError\n     return wanted\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the sabotages of a small project; each is given as name=(diff, tests that must fail)."""
    root, folder = tmp_path / "project", tmp_path / "patches"
    for path, text in (("product/guard.py", GUARD), ("tests/test_guard.py", TESTS), ("pytest.ini", "[pytest]\n")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    folder.mkdir()

    def run(**sabotages: tuple[str, str]) -> int:
        for name, (diff, test) in sabotages.items():
            header = f"The guard.\n\nFails: tests/test_guard.py::{test}\n\n"
            (folder / f"{name}.patch").write_text(header + FILE + diff)
        return main([], root=root, folder=folder)

    return run


def test_a_sabotage_that_its_test_notices_is_found(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(guard=(WITHOUT_GUARD, "test_too_much_is_refused")) == 0

    told = capfd.readouterr().out.splitlines()
    assert told[1].split()[:2] == ["killed", "guard"]
    assert told[2] == "1 of 1 sabotages were found"


def test_a_sabotage_that_survives_is_named_and_fails_the_run(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(guard=(WITHOUT_GUARD, "test_little_is_given")) == 1

    told = capfd.readouterr().out
    assert "SURVIVED  guard" in told
    assert "tests/test_guard.py::test_little_is_given: passed" in told
    assert told.endswith("\n0 of 1 sabotages were found\n")


def test_what_does_not_fit_or_cannot_run_is_broken_and_told_with_its_remedy(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    stale = WITHOUT_GUARD.replace("ValueError", "KeyError")
    unrunnable = WITHOUT_GUARD.replace("     return wanted", "-    return wanted\n+    return given")

    assert run(stale=(stale, "test_too_much_is_refused"), typo=(unrunnable, "test_too_much_is_refused")) == 1

    told = capfd.readouterr().out
    assert "make the patch anew as tests/sabotage/patches.py says" in told
    assert "leaves code that cannot run" in told
    assert told.endswith("\n0 of 2 sabotages were found\n")


def test_a_named_test_that_is_not_there_stops_the_run(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(guard=(WITHOUT_GUARD, "test_of_yesterday")) == 1

    assert "tests/test_guard.py::test_of_yesterday: not run before" in capfd.readouterr().out


def test_an_unknown_name_is_told_with_those_there_are(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such"]) == 1

    assert "no such sabotage: no-such; there are: " in capfd.readouterr().out


def test_a_patch_without_a_whole_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.patch").write_text("The guard.\n\ndiff --git a/x b/x\n+++ b/x\n")

    with pytest.raises(patches.BadPatchError, match="bare.patch: .* lacks `Fails:"):
        patches.find_sabotages(tmp_path, [])


@pytest.mark.parametrize("path", sorted(patches.FOLDER.glob("*.patch")), ids=lambda path: path.stem)
def test_each_patch_fits_the_product_and_names_tests_that_are_there(path: Path) -> None:
    sabotage = patches.read_sabotage(path)

    workshop.check_fit(sabotage, ROOT)
    assert {name.partition("/")[0] for name in sabotage.files} <= {"dataunion", "partners"}
    for test in sabotage.fails:
        file, *_, name = test.partition("[")[0].split("::")
        assert f"def {name}(" in (ROOT / file).read_text()
