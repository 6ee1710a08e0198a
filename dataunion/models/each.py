"""One statement run for each of many rows in one go: what a chunk writes costs SQL one round trip and no ORM.

SQL only: MongoDB's driver tells of many updates how many hit in all, and nothing there can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models

Row = Mapping[str, Any]


def is_at_hand() -> bool:
    """Say whether this database runs one statement for many rows."""
    return connection.vendor != "mongodb"


@dataclass(frozen=True)
class Many:
    """A statement with the parameters of each of its runs: made ready before a transaction, which is then short."""

    sql: str
    parameters: Sequence[Sequence[Any]]

    def run(self) -> int:
        """Run it; return how many rows were hit in all."""
        if not self.parameters:
            return 0
        with connection.cursor() as cursor:
            cursor.executemany(self.sql, self.parameters)
            return int(cursor.rowcount)


_NONE = Many("", ())


def update(model: type[models.Model], rows: Sequence[tuple[Row, Row]]) -> Many:
    """Return the update by (guard, changes), which all name the same fields."""
    if not rows:
        return _NONE
    guard, changes = rows[0]
    columns = ", ".join(f"{_column(model, name)} = %s" for name in changes)
    sql = f"UPDATE {_quote(model._meta.db_table)} SET {columns} WHERE {_where(model, guard)}"  # noqa: S608 - names of ours
    given = _prepare(model, [changes for _, changes in rows])
    asked = _prepare(model, [guard for guard, _ in rows])
    return Many(sql, [[*new, *old] for new, old in zip(given, asked, strict=True)])


def delete(model: type[models.Model], rows: Sequence[Row]) -> Many:
    """Return the deletion by guard, which all name the same fields."""
    if not rows:
        return _NONE
    sql = f"DELETE FROM {_quote(model._meta.db_table)} WHERE {_where(model, rows[0])}"  # noqa: S608 - names of ours
    return Many(sql, _prepare(model, rows))


def insert(rows: Sequence[models.Model]) -> Many:
    """Return the insertion of those rows of one model whose unique key is not there yet."""
    if not rows:
        return _NONE
    model = type(rows[0])
    fields = model._meta.concrete_fields
    columns, places = ", ".join(_column(model, field.name) for field in fields), ", ".join(["%s"] * len(fields))
    table = _quote(model._meta.db_table)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours
    return Many(sql, _prepare(model, [{field.name: getattr(row, field.attname) for field in fields} for row in rows]))


def _where(model: type[models.Model], guard: Row) -> str:
    return " AND ".join(f"{_column(model, name)} = %s" for name in guard)


def _prepare(model: type[models.Model], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Return the values as the database takes them; one object that stands in many rows is prepared once."""
    database = connections[DEFAULT_DB_ALIAS]
    columns = []
    for name in rows[0]:
        prepare, known = _field(model, name).get_db_prep_save, {}
        for row in rows:
            value = row[name]
            if id(value) not in known:
                known[id(value)] = prepare(value, database)
        columns.append([known[id(row[name])] for row in rows])
    return list(zip(*columns, strict=True))


def _column(model: type[models.Model], name: str) -> str:
    return _quote(_field(model, name).column)


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)


def _quote(name: str) -> str:
    return connection.ops.quote_name(name)
