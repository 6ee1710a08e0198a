"""What ./run test says of databases that are not there, and of what was not tested alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.__main__ import tell_skipped
from tests.differences import KINDS, tell_differences
from tests.postgresql import REMEDY, ServerMissingError, find_programs


def test_the_newest_server_is_taken(tmp_path: Path) -> None:
    for version in ("9", "15", "x"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()

    assert find_programs(tmp_path) == tmp_path / "15" / "bin"


def test_a_server_that_is_missing_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ServerMissingError) as caught:
        find_programs(tmp_path)

    assert str(caught.value) == REMEDY
    assert "apt-get install postgresql" in REMEDY


def test_what_a_missing_server_left_out_counts_as_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell_skipped(tmp_path / "none", [f"every test on postgresql: {REMEDY}"])

    assert capsys.readouterr().out == f"SKIPPED every test on postgresql: {REMEDY}\n"


def test_differences_are_told_by_kind_with_their_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes"
    notes.write_text(
        "file\tsqlite only\tt::a\nfile\tsqlite only\tt::b\nfile\tsqlite only\tt::a\npace\tlooked at otherwise\tt\n"
    )

    tell_differences(notes)

    assert capsys.readouterr().out.splitlines()[1:] == [
        f"  file: 2 tests, sqlite only: {KINDS['file']}",
        f"  pace: 1 file, looked at otherwise: {KINDS['pace']}",
    ]
