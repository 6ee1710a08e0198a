"""The list of differences is whole: no test is left out, or looks at a database otherwise, without a reason in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differences import KINDS, MARKS, OTHERWISE, find_difference

ROOT = Path(__file__).resolve().parents[1]
AT_MOST = 10


def files() -> Iterator[tuple[str, str]]:
    """Yield the path and text of every file of tests but this one."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path != Path(__file__):
            yield str(path.relative_to(ROOT)), path.read_text()


def kinds_in(text: str) -> Iterator[str]:
    """Yield what the marks in a file name; nothing is named by one without an argument."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MARKS:
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def test_there_are_few_kinds_and_each_is_needed() -> None:
    used = {kind for _, text in files() for kind in kinds_in(text)} | {k for kinds in OTHERWISE.values() for k in kinds}

    assert len(KINDS) <= AT_MOST
    assert used == set(KINDS)


def test_who_asks_which_database_it_is_stands_in_the_list() -> None:
    asking = {path for path, text in files() if re.search(r"connection\.vendor\b|settings\.MONGODB\b", text)}

    assert asking == set(OTHERWISE)


@pytest.mark.parametrize("mark", MARKS)
def test_a_test_that_is_left_out_without_a_reason_stops_the_run(mark: str, request: pytest.FixtureRequest) -> None:
    item = request.node
    item.add_marker(getattr(pytest.mark, mark)("because"))

    with pytest.raises(pytest.UsageError, match=f"{mark} must name a kind of difference"):
        find_difference(item)
