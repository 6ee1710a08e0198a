"""One atomic change of one partner's entry, on every database: two partners never overwrite each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.db.models.expressions import Func, Value


class MergeEntry(Func):
    """`partners` with `changes` merged into the entry of `partner`; other entries and other keys stay."""

    def __init__(self, partner: str, changes: Mapping[str, Any]) -> None:
        self.partner, self.changes = partner, dict(changes)
        super().__init__(models.F("partners"), output_field=models.JSONField())

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        """Set each key by its path; a merge patch would drop the nulls."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        return self.merge_on_sqlite(column, self.changes), [
            *params,
            *self.read_parameters("sqlite", self.partner, self.changes),
        ]

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """Concatenate into the entry."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        return self.merge_on_postgresql(column), [
            *params,
            *params,
            *self.read_parameters("postgresql", self.partner, self.changes),
        ]

    @staticmethod
    def merge_on_sqlite(column: str, keys: Iterable[str]) -> str:
        """Return SQL for these keys' values; `read_parameters` gives what it wants."""
        places = ", ".join("%s, json(%s)" for _ in keys)
        return f"json_set(json_insert({column}, %s, json('{{}}')), {places})"

    @staticmethod
    def merge_on_postgresql(column: str) -> str:
        """Return SQL for any keys' values; `read_parameters` gives what it wants."""
        return f"jsonb_set({column}, %s::text[], coalesce({column} -> %s, '{{}}'::jsonb) || %s::jsonb)"

    @staticmethod
    def read_parameters(vendor: str, partner: str, changes: Mapping[str, Any]) -> list[Any]:
        """Return what stands for the places in the SQL of this database."""
        if vendor == "postgresql":
            return [[partner], partner, json.dumps(changes)]
        entry = f'$."{partner}"'
        pairs = [part for key, value in changes.items() for part in (f'{entry}."{key}"', json.dumps(value))]
        return [entry, *pairs]

    def as_mql(self, compiler: Any, connection: Any, **_: Any) -> dict[str, Any]:
        """Merge twice; values are literals, since a text may begin with a dollar."""
        column = self.get_source_expressions()[0].as_mql(compiler, connection, as_expr=True)
        merged = {"$mergeObjects": [f"{column}.{self.partner}", {"$literal": self.changes}]}
        return {"$mergeObjects": [column, {self.partner: merged}]}


class Literal(Value):
    """A value inside an expression such as Case, of the type of its column."""

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """Name the type: a column takes no null whose type it must guess."""
        sql, params = self.as_sql(compiler, connection)
        return f"{sql}::{self.output_field.db_type(connection)}", [*params]


def literal(value: Any, field: models.Field[Any, Any]) -> Literal:
    """Return a value for use inside an expression such as Case."""
    return Literal(value, output_field=field)
