"""What `./run test` asks of pytest: beside SQLite only what touches the database; skips and differences are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.differences import note_differences


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="leave out tests that touch no database")
    parser.addoption("--note-skips", type=Path, metavar="FILE", help="append what was skipped, and why")
    parser.addoption("--note-differences", type=Path, metavar="FILE", help="append what does not run on every database")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path: Path | None = config.getoption("--note-differences")
    if path is not None:
        with path.open("a") as notes:
            notes.writelines(f"{line}\n" for line in note_differences(items))
    if config.getoption("--only-database"):
        config.hook.pytest_deselected(items=[item for item in items if not touches_database(item)])
        items[:] = [item for item in items if touches_database(item)]


def touches_database(item: pytest.Item) -> bool:
    """Say whether a test asks for the database, by mark or by fixture."""
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or "django_db_setup" in fixtures


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    path: Path | None = config.getoption("--note-skips")
    if path is not None:
        with path.open("a") as notes:
            for report in terminalreporter.stats.get("skipped", []):
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
                notes.write(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}\n")
