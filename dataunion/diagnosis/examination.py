"""The whole examination, in the order in which one would look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from django.db import DatabaseError, connection
from pymongo.errors import PyMongoError

from dataunion.diagnosis import broker, configuration, database, endpoints, indexes, keys, loaders, partners, upkeep
from dataunion.diagnosis.findings import Finding, Level, problem

NOT_LOOKED_AT = (
    "backups: have keys and database copied apart, and a restore tried (docs/operations.md)",
    "tests and coverage of this version: ./run test prints both",
)
_LACKING = {"database", "migrations"}
Look = Callable[[], Iterator[Finding]]


def examine(*, url: str = "", ask_partners: bool = False) -> Iterator[Finding]:
    """Look at everything; what cannot be looked at is a finding, too."""
    yield from _guarded("settings", configuration.look)
    lacking = False
    for finding in _guarded("database", database.look):
        yield finding
        lacking = lacking or (finding.level == Level.PROBLEM and finding.check in _LACKING)
    parts: dict[str, Look] = {
        "indexes": indexes.look,
        "keys": keys.look,
        "loaders": loaders.look,
        "tick": upkeep.look,
        "broker": broker.look,
        "partners": partial(partners.look, ask=ask_partners),
        "endpoints": partial(endpoints.look, url),
    }
    if lacking:
        yield problem(", ".join(parts), "not looked at, since the database cannot be used", "mend the database first")
        return
    for name, look in parts.items():
        yield from _guarded(name, look)


def _guarded(name: str, look: Look) -> Iterator[Finding]:
    """Turn an error into a finding that names its kind only: its words may hold addresses and passwords."""
    try:
        yield from look()
    except (DatabaseError, PyMongoError, OSError) as error:
        connection.close()
        yield problem(name, f"cannot be reached ({type(error).__name__})", "is it up, and is its address right?")
    except Exception as error:
        yield problem(name, f"could not be looked at ({type(error).__name__})", "this is a bug; please report it")
