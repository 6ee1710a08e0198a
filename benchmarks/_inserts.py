"""Writes rows of our models by the fastest way in that each database has: past the ORM, in bulk.

A row is what it has beside the model's defaults, by attribute: {"id": …, "user_hash": "ab12"}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db import connections, transaction
from django.db.models import Model

Row = Mapping[str, Any]
_PAGE = 5000


def write(model: type[Model], rows: Iterable[Row]) -> Iterator[int]:
    """Write rows, each with the same attributes, page by page; yield how many there are by now."""
    source, written = iter(rows), 0
    while page := list(islice(source, _PAGE)):
        _insert(model, page)
        written += len(page)
        yield written


def _insert(model: type[Model], page: Sequence[Row]) -> None:
    database: Any = connections["default"]
    fields = {field.attname: field for field in model._meta.concrete_fields}
    usual = {name: field.get_db_prep_save(getattr(model(), name), database) for name, field in fields.items()}
    own = [(name, fields[name].get_db_prep_save) for name in page[0]]
    values = [list({**usual, **{name: prepare(row[name], database) for name, prepare in own}}.values()) for row in page]
    columns = [str(field.column) for field in fields.values()]
    _WAYS[database.vendor](database, model._meta.db_table, columns, values)


def _execute_many(database: Any, table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    with transaction.atomic(), database.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", values)


def _copy(database: Any, table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    with database.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in values:
            copy.write_row(row)


def _insert_many(database: Any, table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    documents = [dict(zip(columns, row, strict=True)) for row in values]
    database.database[table].insert_many(documents, ordered=False)


_WAYS: Mapping[str, Callable[[Any, str, Sequence[str], Sequence[Sequence[Any]]], None]] = {
    "sqlite": _execute_many,
    "postgresql": _copy,
    "mongodb": _insert_many,
}
