"""MongoDB's pipelines: what sorts stands where an index can serve it, and means what it meant."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion_project.pipelines import sort_early

MATCH = {"$match": {"partner": "akave"}}
SORT = {"$sort": {"due_at": 1}}
SKIP, LIMIT = {"$skip": 5}, {"$limit": 20}


def test_a_field_that_is_set_to_itself_is_left_alone() -> None:
    assert sort_early([MATCH, {"$addFields": {"due_at": "$due_at"}}, SORT, LIMIT]) == [MATCH, SORT, LIMIT]


def test_a_field_that_is_made_stays_before_the_order_by_it() -> None:
    pipeline = [MATCH, {"$addFields": {"__order1": {"$toLower": "$step"}, "_id": "$_id"}}, {"$sort": {"__order1": 1}}]

    assert sort_early(pipeline) == [
        MATCH,
        {"$addFields": {"__order1": {"$toLower": "$step"}}},
        {"$sort": {"__order1": 1}},
    ]


@pytest.mark.parametrize("due_at", [1, True, "$due_at"])
def test_a_page_is_cut_before_fields_are_left_out(due_at: Any) -> None:
    project = {"$project": {"_id": 1, "due_at": due_at}}

    assert sort_early([MATCH, project, SORT, SKIP, LIMIT, {"$count": "n"}]) == [
        MATCH,
        SORT,
        SKIP,
        LIMIT,
        project,
        {"$count": "n"},
    ]


@pytest.mark.parametrize(
    "project",
    [
        {"due_at": "$changed_at"},
        {"due_at": {"$literal": 1}},
        {"crashes": 1},
        {"due_at": 1, "_id": 0},
        {"due_at": "$_id.due_at"},
    ],
)
def test_what_makes_or_drops_what_the_order_is_by_stays_before_it(project: dict[str, Any]) -> None:
    pipeline = [MATCH, {"$project": project}, SORT, LIMIT]

    assert sort_early(pipeline) == pipeline


@pytest.mark.parametrize("pipeline", [[], [SORT], [MATCH, LIMIT], [MATCH, {"$group": {"_id": "$step"}}, SORT]])
def test_everything_else_is_as_it_was(pipeline: list[dict[str, Any]]) -> None:
    assert sort_early(pipeline) == pipeline
