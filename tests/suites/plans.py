"""How a database finds what it is asked for: every statement of a call is recorded, then its plan is read.

So it is the statements of production code that are judged, not copies of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

from django.db import connection
from pymongo import monitoring

from tests.apps import clauses, is_secantus

SCAN = "SCAN"  # every row is looked at
WALK = "WALK"  # rows are looked at in the order of an index until there are enough
_ABOUT_ROWS = ("aggregate", "find", "update", "delete", "count", "distinct", "findAndModify")
_OURS = ("pipeline", "cursor", "filter", "sort", "limit", "skip", "projection", "updates", "deletes", "query", "key")
_TABLE = re.compile(r'(?:FROM|UPDATE|INTO) "(\w+)"')


@dataclass(frozen=True)
class Statement:
    """One statement about rows of one table."""

    table: str
    text: str
    explain: Callable[[], str]
    stages: tuple[str, ...] = ()  # of MongoDB's pipeline

    def read_plan(self) -> tuple[str, ...]:
        """Return the names of the indexes it goes by; SCAN or WALK where it goes by none's order and key."""
        return tuple(_READ[connection.vendor](self.explain()))


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Record the statements of what is done meanwhile."""
    if connection.vendor == "mongodb":
        with _commands() as found:
            yield found
        return
    found = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        table = _TABLE.search(sql)
        if table and not many and not sql.startswith("INSERT"):
            found.append(Statement(table[1], sql, lambda: _explain_sql(sql, params)))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield found


@contextmanager
def scans_avoided() -> Iterator[None]:
    """Have PostgreSQL tell which index can answer: of its own accord it scans where most rows are asked for."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        yield
        cursor.execute("RESET enable_seqscan")


# --- SQL


def _explain_sql(sql: str, params: Any) -> str:
    verb = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{verb} {sql}", params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def _read_sqlite(plan: str) -> Iterator[str]:
    for line in plan.splitlines():
        if line.startswith("SCAN"):
            yield SCAN if "USING" not in line else WALK
        elif line.startswith("SEARCH"):
            yield _index(line)


def _index(line: str) -> str:
    found = re.search(r"USING (?:COVERING )?INDEX (\S+)", line)
    return found[1] if found else line


def _read_postgresql(plan: str) -> Iterator[str]:
    lines = plan.splitlines()
    for number, line in enumerate(lines):
        found = re.search(r"(?:Index Scan|Index Only Scan)(?: Backward)? using (\S+)|Bitmap Index Scan on (\S+)", line)
        if "Seq Scan" in line:
            yield SCAN
        elif found:
            name = found[1] or found[2]
            searched = number + 1 < len(lines) and "Index Cond" in lines[number + 1]
            yield name if searched else WALK


# --- MongoDB


class _Listener(monitoring.CommandListener):
    def __init__(self) -> None:
        self.found: list[Statement] = []
        self.armed = True

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Note a command that looks for rows."""
        name = event.command_name
        if self.armed and name in _ABOUT_ROWS:
            command = {name: event.command[name], **{key: event.command[key] for key in _OURS if key in event.command}}
            stages = tuple(next(iter(stage)) for stage in command.get("pipeline", ()))
            self.found.append(Statement(command[name], str(command), lambda: self._explain(command), stages))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Note nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Note nothing."""

    def _explain(self, command: Mapping[str, Any]) -> str:
        self.armed = False
        database: Any = connection.database  # type: ignore[attr-defined]
        if is_secantus(connection):
            table, given = next(iter(command.values())), _filter_of(command)
            indexes = database[table].index_information()
            part = _indexed_part(given, indexes)
            if not part and _gives_order(indexes, _order_of(command)):
                return WALK
            command = {"find": table, "filter": part}
        return str(database.command("explain", command, verbosity="queryPlanner"))


def _filter_of(command: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what rows a command asks for."""
    if "pipeline" in command:
        first = command["pipeline"][0] if command["pipeline"] else {}
        return first.get("$match", {})  # type: ignore[no-any-return]
    if "updates" in command or "deletes" in command:
        return (command.get("updates") or command["deletes"])[0]["q"]  # type: ignore[no-any-return]
    return command.get("filter") or command.get("query") or {}


def _order_of(command: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the order in which a command wants rows, if it says so before it makes anything of them."""
    if "pipeline" not in command:
        return list(command.get("sort", {}).items())
    behind = dropwhile(lambda stage: "$match" in stage, command["pipeline"])
    return list(next(behind, {}).get("$sort", {}).items())


def _gives_order(indexes: Mapping[str, Any], order: list[tuple[str, int]]) -> bool:
    """Say whether an index, read from either end, has the rows in this order."""
    turned = [(name, -way) for name, way in order]
    whole = [index["key"] for index in indexes.values() if "partialFilterExpression" not in index]
    return bool(order) and any(key[: len(order)] in (order, turned) for key in whole)


def _indexed_part(given: Mapping[str, Any], indexes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a filter that an index serves; the rest is looked at in what the index gives.

    MongoDB goes by an index whose first fields are asked for, whatever else is. SecantusDB does so only where nothing
    else is asked for, and nothing behind the first range, so there the plan of this part is read. Partial indexes
    serve no such filter on either.
    """
    asked = {name: value for clause in clauses(given) for name, value in clause.items() if name[0] != "$"}
    best: dict[str, Any] = {}
    for index in indexes.values():
        names = [] if "partialFilterExpression" in index else [name for name, _ in index["key"]]
        served = {name: asked[name] for name in _until_a_range(takewhile(asked.__contains__, names), asked)}
        if len(served) > len(best):
            best = served
    return best


def _until_a_range(names: Iterable[str], asked: Mapping[str, Any]) -> Iterator[str]:
    for name in names:
        yield name
        if isinstance(asked[name], Mapping):
            return


@contextmanager
def _commands() -> Iterator[list[Statement]]:
    """Have the driver tell what it sends: only a new client takes a listener."""
    listener = _Listener()
    _connect_with([listener])
    try:
        yield listener.found
    finally:
        _connect_with([])


def _connect_with(listeners: Sequence[monitoring.CommandListener]) -> None:
    connection.ensure_connection()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict["OPTIONS"]["event_listeners"] = listeners


def _read_mongodb(plan: str) -> Iterator[str]:
    """Read the winning plan; a key's own look-up has a stage of its own and names no index."""
    winning = plan.split("'rejectedPlans'")[0]
    if plan == WALK:
        yield WALK
    if "COLLSCAN" in winning:
        yield SCAN
    yield from re.findall(r"'indexName': '([^']+)'", winning)
    yield from ("_id_" for _ in re.findall(r"'stage': '(?:IDHACK|EXPRESS_IXSCAN)'", winning))


_READ: Mapping[str, Callable[[str], Iterator[str]]] = {
    "sqlite": _read_sqlite,
    "postgresql": _read_postgresql,
    "mongodb": _read_mongodb,
}
