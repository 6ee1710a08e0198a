"""Lets MongoDB give an order from an index, which it does for a `$sort` only where nothing but a `$match` is before it.

django-mongodb-backend 5.2 writes `$project`, or an `$addFields` of each field to itself, before every `$sort`, and the
server does not exchange them (SERVER-26442): each page of a list would sort all that matches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Stage = dict[str, Any]
_BEHIND = ("$sort", "$skip", "$limit")


def install() -> None:
    """Have the backend ask so."""
    from django_mongodb_backend.query import MongoQuery

    original = MongoQuery.get_pipeline
    MongoQuery.get_pipeline = lambda self: sort_early(original(self))


def sort_early(pipeline: Sequence[Stage]) -> list[Stage]:
    """Return a pipeline that means the same, and sorts before it leaves fields out."""
    stages = [kept for stage in pipeline if (kept := _without_itself(stage))]
    found = [number for number, stage in enumerate(stages) if "$sort" in stage]
    if not found or not found[0]:
        return stages
    at = found[0]
    project = stages[at - 1].get("$project")
    if project is None or not _only_leaves_out(project, stages[at]["$sort"]):
        return stages
    end = at
    while end < len(stages) and next(iter(stages[end])) in _BEHIND:
        end += 1
    return [*stages[: at - 1], *stages[at:end], stages[at - 1], *stages[end:]]


def _without_itself(stage: Stage) -> Stage | None:
    """Drop from an `$addFields` what sets a field to itself; None where nothing is left."""
    if "$addFields" not in stage:
        return stage
    fields = {name: value for name, value in stage["$addFields"].items() if value != f"${name}"}
    return {"$addFields": fields} if fields else None


def _only_leaves_out(project: Mapping[str, Any], order: Mapping[str, int]) -> bool:
    """Say whether a projection makes nothing new, and keeps all that the order is by."""
    kept = {name for name, value in project.items() if value is True or value == 1 or value == f"${name}"}
    return kept == set(project) and all(name in kept or name == "_id" for name in order)
