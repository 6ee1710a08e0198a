"""A sabotage as a file: a unified diff of product code under a header that says what it takes away.

Header: a sentence, an empty line, then `Fails: tests/path.py::test_name` for each test that must fail. To make one
anew: `git apply` it or edit the product by hand, `git diff -U1` into the file under the old header, and undo the edit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


class BadPatchError(Exception):
    """A patch that shows nothing; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """One guard taken away, and the tests that must fail without it."""

    path: Path
    removes: str
    fails: tuple[str, ...]
    files: tuple[str, ...]  # of the product, as the diff names them

    @property
    def name(self) -> str:
        """Return the name by which it is asked for."""
        return self.path.stem


def read_sabotage(path: Path) -> Sabotage:
    """Read one patch. Raises BadPatchError where its header is not whole."""
    header, _, diff = path.read_text().partition("diff --git ")
    fails = tuple(re.findall(r"^Fails: (\S+::\S+)$", header, re.MULTILINE))
    removes = " ".join(header.partition("Fails:")[0].split())
    files = tuple(re.findall(r"^\+\+\+ b/(\S+)$", diff, re.MULTILINE))
    for part, what in ((removes, "a sentence"), (fails, "`Fails: tests/path.py::test_name`"), (files, "a diff")):
        if not part:
            raise BadPatchError(f"{path.name}: its header or body lacks {what}; see tests/sabotage/patches.py")
    return Sabotage(path=path, removes=removes, fails=fails, files=files)


def find_sabotages(folder: Path, names: Sequence[str]) -> list[Sabotage]:
    """Read the patches of these names, or all. Raises BadPatchError."""
    found = {path.stem: path for path in sorted(folder.glob("*.patch"))}
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        raise BadPatchError(f"no such sabotage: {', '.join(unknown) or folder}; there are: {', '.join(found)}")
    return [read_sabotage(found[name]) for name in names or found]
