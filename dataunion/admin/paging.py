"""Lists that never count: a page is read by the key of the row before it, so that page 1,000 costs what page 1 does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest

from dataunion.cursors import Cursor, cut_at
from dataunion.search import is_address

_AFTER, _BEFORE = "after", "before"


@dataclass(frozen=True)
class Chip:
    """One filter in use: what it says, and the list without it."""

    title: str
    words: str
    drop_url: str


class Pages:
    """What unfold's template asks of a paginator."""

    template_name = "admin/dataunion/pages.html"

    def __init__(self, per_page: int) -> None:
        self.per_page = per_page


class CursorChangeList(ChangeList):
    """A change list ordered newest first by `model_admin.newest_by` (a column, or the key alone when empty)."""

    next_url = previous_url = ""
    model_admin: Any

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Keep the cursors apart from the filters."""
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (_AFTER, _BEFORE)}

    def get_query_string(self, new_params: dict[str, Any] | None = None, remove: Iterable[str] | None = None) -> str:
        """Return a link that begins at the first page, unless it is one to another page."""
        return super().get_query_string(new_params, [*(remove or ()), _AFTER, _BEFORE])

    @property
    def chips(self) -> list[Chip]:
        """Return the filters in use and the search."""
        found = [
            Chip(str(spec.title), str(dict(spec.lookup_choices).get(value, value)), self._drop(spec.parameter_name))
            for spec in self.filter_specs
            if isinstance(spec, SimpleListFilter) and (value := spec.value())
        ]
        # An address that somebody pasted is repeated nowhere, least of all in the log of a download.
        words = "an e-mail address" if is_address(self.query) else self.query
        return found + ([Chip("search", words, self._drop(SEARCH_VAR))] if self.query else [])

    @property
    def shared_url(self) -> str:
        """Return the list's address for a colleague: with the filters, from the first page on."""
        return self.get_query_string()

    def say_filter(self) -> str:
        """Return the filters in use in words."""
        return ", ".join(f"{chip.title}: {chip.words}" for chip in self.chips) or "everything"

    def _drop(self, name: str | None) -> str:
        return self.get_query_string(remove=[name or ""])

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and one row more, which says whether there is another."""
        column: str = self.model_admin.newest_by
        size = self.list_per_page
        back = self._read_cursor(request.GET.get(_BEFORE, ""), column)
        start = back or self._read_cursor(request.GET.get(_AFTER, ""), column)
        rows = list(cut_at(self.queryset, column, start, towards_newer=bool(back))[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        if back:
            rows.reverse()
        older, newer = (bool(rows), more) if back else (more, start is not None)
        self.next_url = self.get_query_string({_AFTER: _write_cursor(rows[-1], column)}) if older else ""
        self.previous_url = ""
        if newer:
            cursor = {_BEFORE: _write_cursor(rows[0], column)} if rows else {}
            self.previous_url = self.get_query_string(cursor)
        self.model_admin.prepare_page(request, rows)
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = len(rows)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Pages(size)

    def _read_cursor(self, text: str, column: str) -> Cursor | None:
        """Return what `_write_cursor` wrote; None for anything else."""
        value, _, key = text.rpartition("~")
        try:
            return (datetime.fromisoformat(value) if column else None), self.lookup_opts.pk.to_python(key)
        except (ValueError, ValidationError):
            return None


def _write_cursor(row: Model, column: str) -> str:
    key = str(row.pk)
    return f"{getattr(row, column).isoformat()}~{key}" if column else key
