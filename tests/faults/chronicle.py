"""What every write did to fences and leases, recorded by the database itself, whichever process wrote.

On SQL triggers write it down in a table beside ours; on MongoDB a change stream is read at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pymongo
from django.db import connection

Row = Mapping[str, Any]
_TABLE = "chronicle"
WATCHED: Mapping[str, tuple[str, ...]] = {
    "syncjobs": ("record_id", "partner", "status", "lease_token", "lease_until", "fence", "step", "runs")
    + ("claimed_at", "outcome"),
    "dataunions": ("partners",),
    "signers": ("lease_token", "lease_until"),
    "partners": ("gate_token", "gate_until"),
    "taskleases": ("token", "until"),
}
_JSON = {"outcome", "partners"}
_MOMENTS = {"lease_until", "claimed_at", "gate_until", "until"}
# Of a record's entries only what tells who wrote: the rest is big.
_ENTRIES = (
    "(SELECT json_group_object(key, json_object('fence', json_extract(value, '$.fence'), 'is_synced',"
    " json_extract(value, '$.is_synced'))) FROM json_each({row}.partners))"
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One row before and after one write, by the column's names; None where it was not there."""

    at: datetime
    table: str
    key: str
    old: Row | None
    new: Row | None


class Chronicle:
    """Records each change of WATCHED from `install` to `remove`, whoever made it, in this process or in another."""

    def __init__(self) -> None:
        self._stream: _Stream | None = None

    def install(self) -> None:
        """Begin to record; what was recorded before is forgotten."""
        self.remove()
        if connection.vendor == "mongodb":
            self._stream = _Stream()
            return
        with connection.cursor() as cursor:
            for statement in _sqlite() if connection.vendor == "sqlite" else _postgresql():
                cursor.execute(statement)

    def remove(self) -> None:
        """End recording, and leave nothing in the database."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if connection.vendor != "mongodb":
            with connection.cursor() as cursor:
                for statement in _none_on_sqlite() if connection.vendor == "sqlite" else _none_on_postgresql():
                    cursor.execute(statement)
                cursor.execute(f"DROP TABLE IF EXISTS {_TABLE}")

    def __enter__(self) -> Chronicle:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def changes(self) -> list[Change]:
        """Return all that was recorded so far, oldest first."""
        if connection.vendor == "mongodb":
            return self._stream.read() if self._stream else []
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT at, tbl, id, old, new FROM {_TABLE} ORDER BY seq")
            return [
                Change(at=_moment(at), table=table, key=key, old=_parse(old), new=_parse(new))
                for at, table, key, old, new in cursor.fetchall()
            ]


def find_tokens(changes: Iterable[Change]) -> set[str]:
    """Return every token that anybody held a lease by."""
    names = ("lease_token", "gate_token", "token")
    return {row[n] for c in changes for row in (c.old, c.new) if row for n in names if row.get(n)}


# --- SQLite ----------------------------------------------------------------------------------------------------------


def _sqlite() -> Iterator[str]:
    columns = "seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, tbl TEXT, id TEXT, old TEXT, new TEXT"
    yield f"CREATE TABLE {_TABLE} ({columns})"
    for table, columns in WATCHED.items():
        old, new = (_as_json(table, columns, row) for row in ("old", "new"))
        changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in columns)
        yield _trigger(table, "update", f"WHEN {changed}", "new", old, new)
        yield _trigger(table, "insert", "", "new", "NULL", new)
        yield _trigger(table, "delete", "", "old", old, "NULL")


def _none_on_sqlite() -> Iterator[str]:
    for table in WATCHED:
        for act in ("insert", "update", "delete"):
            yield f"DROP TRIGGER IF EXISTS {_TABLE}_{table}_{act}"


def _trigger(table: str, act: str, when: str, row: str, old: str, new: str) -> str:
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    insert = f"INSERT INTO {_TABLE} (at, tbl, id, old, new) VALUES ({now}, '{table}', {row}._id, {old}, {new})"
    return f"CREATE TRIGGER {_TABLE}_{table}_{act} AFTER {act.upper()} ON {table} {when} BEGIN {insert}; END"


def _as_json(table: str, columns: tuple[str, ...], row: str) -> str:
    pairs = []
    for name in columns:
        value = f"{row}.{name}"
        if name in _JSON:
            value = f"json({value})" if table == "syncjobs" else _ENTRIES.format(row=row)
        pairs.append(f"'{name}', {value}")
    return f"json_object({', '.join(pairs)})"


def _parse(text: str | None) -> Row | None:
    if text is None:
        return None
    row = json.loads(text)
    return {name: _moment(value) if name in _MOMENTS else value for name, value in row.items()}


@lru_cache(10_000)
def _moment(value: Any) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _postgresql() -> Iterator[str]:
    """Keys are told as SQLite keeps them: hex without dashes."""
    columns = (
        "seq BIGSERIAL PRIMARY KEY, at TIMESTAMPTZ DEFAULT clock_timestamp(), tbl TEXT, id TEXT, old JSONB, new JSONB"
    )
    yield f"CREATE TABLE {_TABLE} ({columns})"
    for table, names in WATCHED.items():
        rows = (f"CASE WHEN {row} IS NULL THEN NULL ELSE {_as_jsonb(names, row)} END" for row in ("OLD", "NEW"))
        values = f"'{table}', replace(coalesce(NEW._id, OLD._id)::text, '-', ''), {', '.join(rows)}"
        body = f"BEGIN INSERT INTO {_TABLE} (tbl, id, old, new) VALUES ({values}); RETURN NULL; END"
        function = f"{_TABLE}_{table}"
        yield f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
        changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in names)
        for act, when in (("INSERT", ""), ("DELETE", ""), ("UPDATE", f"WHEN ({changed})")):
            trigger = f"CREATE TRIGGER {function}_{act.lower()} AFTER {act} ON {table} FOR EACH ROW"
            yield f"{trigger} {when} EXECUTE FUNCTION {function}()"


def _none_on_postgresql() -> Iterator[str]:
    for table in WATCHED:
        yield f"DROP FUNCTION IF EXISTS {_TABLE}_{table}() CASCADE"


def _as_jsonb(names: Iterable[str], row: str) -> str:
    parts = "'fence', value -> 'fence', 'is_synced', value -> 'is_synced'"
    entries = f"(SELECT jsonb_object_agg(key, jsonb_build_object({parts})) FROM jsonb_each({row}.partners))"
    special = {"partners": entries, "record_id": f"replace({row}.record_id::text, '-', '')"}
    pairs = [f"'{name}', " + special.get(name, f"{row}.{name}") for name in names]
    return f"jsonb_build_object({', '.join(pairs)})"


# --- MongoDB ---------------------------------------------------------------------------------------------------------


class _Stream:
    """The change stream of one database, told as rows before and after."""

    def __init__(self) -> None:
        given = connection.settings_dict
        self._client: Any = pymongo.MongoClient(given["HOST"], tz_aware=True, uuidRepresentation="standard")
        database = self._client[given["NAME"]]
        wanted = {"$match": {"ns.coll": {"$in": list(WATCHED)}}}
        self._events = database.watch([wanted])
        self._rows = {(t, str(d["_id"])): _flatten(t, d) for t in WATCHED for d in database[t].find()}
        self._changes: list[Change] = []

    def read(self) -> list[Change]:
        """Return what came so far."""
        while (event := self._events.try_next()) is not None:
            table, key = event["ns"].get("coll"), str(event.get("documentKey", {}).get("_id"))
            if table not in WATCHED or "documentKey" not in event:
                continue
            old, new = self._rows.get((table, key)), self._after(event, table, key)
            if new is None:
                self._rows.pop((table, key), None)
            else:
                self._rows[table, key] = new
            if old != new:
                self._changes.append(Change(at=_moment(event["wallTime"]), table=table, key=key, old=old, new=new))
        return list(self._changes)

    def _after(self, event: Mapping[str, Any], table: str, key: str) -> Row | None:
        if event["operationType"] == "delete":
            return None
        if event["operationType"] != "update":
            return _flatten(table, event["fullDocument"])
        row = json.loads(json.dumps(self._rows.get((table, key), {}), default=_keep))
        row = {name: _moment(value) if name in _MOMENTS else value for name, value in row.items()}
        for path, value in event["updateDescription"]["updatedFields"].items():
            _set(row, path.split("."), value)
        return _flatten(table, row)

    def close(self) -> None:
        self._events.close()
        self._client.close()


def _keep(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _set(row: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        row = row.setdefault(name, {})
    row[path[-1]] = value


def _flatten(table: str, document: Mapping[str, Any]) -> Row:
    row = {name: document.get(name) for name in WATCHED[table]}
    if row.get("partners"):
        entries: Any = row["partners"]
        row["partners"] = {name: {k: e.get(k) for k in ("fence", "is_synced")} for name, e in entries.items()}
    if "record_id" in row:
        row["record_id"] = str(row["record_id"])
    return {name: _moment(value) if name in _MOMENTS else value for name, value in row.items()}
