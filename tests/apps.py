"""A test-only app that works around two faults of SecantusDB; it does nothing on a real MongoDB.

SecantusDB lets a nested `$addFields` or `$project` replace the whole sub-document, where MongoDB merges: the pipeline
is rewritten to dotted paths, which mean the same on both. And it scans a collection for every `$and`: one of distinct
fields is flattened, and the not-null clause beside a comparison is dropped (our compared columns are never null).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import AppConfig


class TestsConfig(AppConfig):
    """Installs the work-around where the server names itself SecantusDB."""

    name = "tests"

    def ready(self) -> None:
        """Wrap the backend's pipelines."""
        from django.db import connection

        if connection.vendor != "mongodb" or not is_secantus(connection):
            return
        from django_mongodb_backend.query import MongoQuery

        original = MongoQuery.get_pipeline
        MongoQuery.get_pipeline = lambda self: [dotted(stage) for stage in original(self)]


def is_secantus(connection: Any) -> bool:
    """Ask the server who it is."""
    return "secantusVersion" in connection.connection.admin.command("buildInfo") if connection.connection else _ask()


def _ask() -> bool:
    from django.conf import settings
    from pymongo import MongoClient

    with MongoClient(settings.DATABASES["default"]["HOST"]) as client:
        return "secantusVersion" in client.admin.command("buildInfo")


def dotted(stage: dict[str, Any]) -> dict[str, Any]:
    """Return a pipeline stage that means the same and that SecantusDB reads rightly."""
    [(name, body)] = stage.items()
    if name in ("$addFields", "$project", "$set"):
        return {name: _flat(body)}
    if name == "$match":
        return {name: flat_match(body)}
    if name == "$lookup" and "pipeline" in body:
        return {name: {**body, "pipeline": [dotted(inner) for inner in body["pipeline"]]}}
    return stage


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value and not any(k.startswith("$") for k in value):
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found


_COMPARED = {"$lt", "$lte", "$gt", "$gte"}
_NOT_NULL = ({"$ne": None}, {"$exists": True})


def flat_match(query: Any) -> Any:
    """Flatten an `$and` of plain conditions on fields; leave everything else."""
    found = list(clauses(query))
    if any(key.startswith("$") for clause in found for key in clause):
        return query
    compared = {key for clause in found for key, value in clause.items() if _operators(value) & _COMPARED}
    parts: dict[str, Any] = {}
    for key, value in (pair for clause in found for pair in clause.items()):
        if key in compared and value in _NOT_NULL:
            continue
        if key not in parts:
            parts[key] = value
        elif _operators(value) and _operators(parts[key]) and not _operators(value) & _operators(parts[key]):
            parts[key] = {**parts[key], **value}
        else:
            return query
    return parts


def clauses(query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the conditions of which all must hold."""
    if set(query) == {"$and"}:
        for clause in query["$and"]:
            yield from clauses(clause)
    else:
        yield query


def _operators(value: Any) -> set[str]:
    """Return the operators of a condition; none where it is a value to equal."""
    return {key for key in value if key.startswith("$")} if isinstance(value, dict) else set()
