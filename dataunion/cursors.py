"""Rows newest first by a cursor: each page begins at the key of the row before it, so that none costs more.

`column` is a time that orders the rows, the key beside it; empty where the key alone does, since keys grow with time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet

Cursor = tuple[Any, Any]  # the column's value and the key


def cut_at(rows: QuerySet[Any], column: str, start: Cursor | None, *, towards_newer: bool = False) -> QuerySet[Any]:
    """Return the rows on one side of the cursor in their order; from the end on where there is none."""
    names = [column, "pk"] if column else ["pk"]
    op, sign = ("gt", "") if towards_newer else ("lt", "-")
    if start is not None:
        value, pk = start
        where = Q(**{f"pk__{op}": pk})
        if column:
            # The first condition follows from the second; with it the database can begin within the index.
            where = Q(**{f"{column}__{op}e": value}) & (Q(**{f"{column}__{op}": value}) | Q(**{column: value}) & where)
        rows = rows.filter(where)
    return rows.order_by(*(sign + name for name in names))


def walk(rows: QuerySet[Any], column: str, *, size: int) -> Iterator[list[Any]]:
    """Return all rows, page by page. One that changes on the way may be left out, and none comes twice."""
    start: Cursor | None = None
    while page := list(cut_at(rows, column, start)[:size]):
        yield page
        if len(page) < size:
            return
        start = (getattr(page[-1], column) if column else None, page[-1].pk)
