"""The search field of the lists: whole values, and what to do with an e-mail address."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from dataunion import search

NO_ADDRESS = (
    "E-mail addresses are not stored here. Search the person's user hash instead. "
    "Whoever hands the records in makes the hash, and can tell it."
)


def narrow(request: HttpRequest, rows: QuerySet[Any], wanted: dict[str, Any], term: str) -> QuerySet[Any]:
    """Return the rows that a search means; say what a person cannot know of it."""
    if search.is_address(term):
        messages.warning(request, NO_ADDRESS)
    named = next((value for value in wanted.values() if isinstance(value, list)), [])
    if len(named) == search.MOST:
        messages.warning(
            request,
            f"At least {search.MOST} records bear this name; these are of the newest. "
            "Search a user hash or a record id instead.",
        )
    return rows.filter(**wanted)
