"""Every index that the models declare is in the database: a restore, a hand or a broken migration may leave one out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model, UniqueConstraint

from dataunion.diagnosis.findings import Finding, ok, problem

_REMEDY = "docs/operations.md, Indexes, says how to make them; until then questions are slow, or doubles get in"


@dataclass(frozen=True)
class Wanted:
    """One index; `name` is empty where the database chooses it."""

    table: str
    columns: tuple[str, ...]
    is_unique: bool
    name: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.name or '_'.join(self.columns)}"


def look() -> Iterator[Finding]:
    """Compare what is declared with what is there."""
    wanted = [index for model in apps.get_models(include_auto_created=True) for index in declared(model)]
    tables = sorted({index.table for index in wanted})
    yield judge(wanted, {table: _read(table) for table in tables})


def declared(model: type[Model]) -> Iterator[Wanted]:
    """Yield the indexes of a model's table, but the key's own."""
    meta = model._meta
    if not meta.managed or meta.proxy:
        return
    table = meta.db_table
    for index in meta.indexes:
        names = [name for name, _ in index.fields_orders]
        yield Wanted(table, _columns(model, names), False, index.name)
    for constraint in meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield Wanted(table, _columns(model, constraint.fields), True, constraint.name)
    for together in meta.unique_together:
        yield Wanted(table, _columns(model, together), True)
    for field in meta.local_fields:
        if field.unique and not field.primary_key:
            yield Wanted(table, (str(field.column),), True)


def _columns(model: type[Model], names: Any) -> tuple[str, ...]:
    return tuple(str(model._meta.get_field(name).column) for name in names)  # type: ignore[union-attr]


def _read(table: str) -> Mapping[str, dict[str, Any]]:
    introspection: Any = connection.introspection
    with nullcontext() if connection.vendor == "mongodb" else connection.cursor() as cursor:
        return dict(introspection.get_constraints(cursor, table))


def judge(wanted: list[Wanted], there: Mapping[str, Mapping[str, dict[str, Any]]]) -> Finding:
    """Name what is missing, or is not what is declared."""
    missing = [str(index) for index in wanted if not any(_is(index, name, f) for name, f in there[index.table].items())]
    if missing:
        return problem("indexes", f"{len(missing)} of {len(wanted)} are missing: {', '.join(sorted(missing))}", _REMEDY)
    return ok("indexes", f"all {len(wanted)} are there")


def _is(index: Wanted, name: str, found: dict[str, Any]) -> bool:
    if index.name and name != index.name:
        return False
    if tuple(found["columns"]) != index.columns:
        return False
    return bool(found["unique"]) or not index.is_unique
