"""Where the databases are not tested alike, and why: the only list of it. A run prints what it met of this list.

Every other test that touches the database has the same id on each, and asserts the same of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

# The marks by which a test runs on some databases only; each names one of KINDS: @pytest.mark.sqlite_only("file").
MARKS: Mapping[str, frozenset[str]] = {
    "sqlite_only": frozenset({"sqlite"}),
    "mongodb_only": frozenset({"mongodb"}),
    "sql_only": frozenset({"sqlite", "postgresql"}),
    "server_only": frozenset({"mongodb", "postgresql"}),
}
KINDS: Mapping[str, str] = {
    "file": "SQLite is a file of ours, which can be locked, full or copied; a server's disk is the server's business",
    "connection": "only a server's connection can be cut, and only a server be away",
    "silence": "MongoDB's driver leaves a silent server after socketTimeoutMS; PostgreSQL's leaves that to TCP",
    "statements": "something is done between two SQL statements of one call; MongoDB's backend shows none to Django",
    "one transaction": "moves stand in one transaction on SQL and leave nothing half done; MongoDB goes page by page",
    "backend": "a trap that only MongoDB's backend has",
    "columns": "what a newer version added is a column on SQL and a mere key on MongoDB",
    "sorts": "only a plan of SQLite always names a sort that an index could spare; of MongoDB the order is looked at",
    "pace": "SecantusDB is slower by far: fewer examples of the same kind are tried on it",
}
# Tests that run everywhere and assert, or arrange, something else on one database: by their file.
OTHERWISE: Mapping[str, tuple[str, ...]] = {
    "tests/admin/test_large.py": ("pace",),
    "tests/dataunion/adoption/test_adopt.py": ("pace",),
    "tests/dataunion/sync/test_dispatch.py": ("one transaction",),
    "tests/dataunion/test_doctor.py": ("file",),
    "tests/dataunion/test_mongodb_traps.py": ("backend",),
    "tests/faults/test_bulk_retry.py": ("one transaction", "pace"),
    "tests/faults/test_contention.py": ("pace",),
    "tests/faults/test_crashes.py": ("one transaction",),
    "tests/faults/test_database_away.py": ("connection",),
    "tests/faults/test_interleavings.py": ("one transaction", "pace"),
    "tests/faults/test_kills.py": ("one transaction",),
    "tests/faults/test_versions.py": ("columns",),
    "tests/flows/test_secrecy.py": ("file",),
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
    """Yield a line for each test that does not run, or not assert the same, everywhere; to be told at the end."""
    for item in items:
        found = find_difference(item)
        if found:
            yield f"{found[0]}\t{' and '.join(sorted(found[1]))} only\t{item.nodeid}"
        for kind in OTHERWISE.get(item.nodeid.partition("::")[0], ()):
            yield f"{kind}\tlooked at otherwise\t{item.nodeid.partition('::')[0]}"


def tell_differences(notes: Path) -> None:
    """Print each kind that a run met, where and how often, and the reason."""
    lines = sorted(set(notes.read_text().splitlines())) if notes.exists() else []
    groups = Counter(line.rpartition("\t")[0] for line in lines)
    if groups:
        print("tests: where the databases are not tested alike:", flush=True)
    for group, count in groups.items():
        kind, how = group.split("\t")
        what = "file" if how.startswith("looked") else "test"
        print(f"  {kind}: {count} {what}{'s' * (count > 1)}, {how}: {KINDS[kind]}", flush=True)
