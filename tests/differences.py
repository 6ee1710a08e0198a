"""Where the databases are not tested alike, and why: the only list of it. A run prints what it met of this list.

Every other test that touches the database has the same id on each, and asserts the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

# The marks by which a test runs on some databases only; each names one of KINDS: @pytest.mark.sqlite_only("file").
MARKS: Mapping[str, frozenset[str]] = {
    "sqlite_only": frozenset({"sqlite"}),
    "mongodb_only": frozenset({"mongodb"}),
    "postgresql_only": frozenset({"postgresql"}),
    "sql_only": frozenset({"sqlite", "postgresql"}),
    "server_only": frozenset({"mongodb", "postgresql"}),
}
KINDS: Mapping[str, str] = {
    "file": "SQLite is a file of ours, which can be locked or full; a server's disk is the server's business",
    "connection": "only a server's connection can be cut or keep silent; SQLite has none",
    "statements": "something is done between two SQL statements of one call; MongoDB's backend shows none to Django",
    "one transaction": "moves stand in one transaction on SQL and leave nothing half done; MongoDB goes page by page",
    "backend": "a trap that only MongoDB's backend has",
}


def find_difference(item: pytest.Item) -> tuple[str, frozenset[str]] | None:
    """Return the kind and the databases of a test that does not run everywhere. Raises pytest.UsageError."""
    for name, databases in MARKS.items():
        mark = item.get_closest_marker(name)
        if mark is not None:
            if not mark.args or mark.args[0] not in KINDS:
                raise pytest.UsageError(f"{item.nodeid}: {name} must name a kind of difference: {', '.join(KINDS)}")
            return mark.args[0], databases
    return None


def note_differences(items: Iterable[pytest.Item]) -> Iterator[str]:
    """Yield a line for each test that does not run everywhere, to be told at the end."""
    for item in items:
        found = find_difference(item)
        if found:
            kind, databases = found
            yield f"{kind}\t{' and '.join(sorted(databases))}\t{item.nodeid}"


def tell_differences(notes: Path) -> None:
    """Print each kind that a run met, with how many tests and the reason."""
    lines = sorted(set(notes.read_text().splitlines())) if notes.exists() else []
    groups: dict[tuple[str, str], int] = {}
    for line in lines:
        kind, databases, _ = line.split("\t")
        groups[kind, databases] = groups.get((kind, databases), 0) + 1
    if groups:
        print(f"tests: {len({kind for kind, _ in groups})} kinds of test do not run on every database:", flush=True)
    for (kind, databases), count in groups.items():
        print(f"  {kind}: {count} on {databases} only: {KINDS[kind]}", flush=True)
