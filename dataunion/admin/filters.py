"""Filters of the lists. Each choice is a link, so that a filtered list can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dataunion import roster
from dataunion.admin.base import as_uuid
from dataunion.models import SyncJob
from dataunion.state import FAILING, DataType, Outcome, Status

SPANS = {"10m": ("10 minutes", 600), "1h": ("1 hour", 3600), "1d": ("1 day", 86_400), "7d": ("7 days", 7 * 86_400)}
_RUN_FILTERS = ("partner", "status", "data_type", "error_class", "cause", "step")
_OPEN = (Status.PENDING, Status.RUNNING, Status.RETRYING, Status.FAILED, Status.BLOCKED)
ANY_ERROR, ON_THE_WAY = "error", "waiting"  # as in statistics: what failed, and the rest
_GROUPS = {ANY_ERROR: FAILING, ON_THE_WAY: (Status.PENDING, Status.RUNNING)}


def statuses(value: str) -> tuple[str, ...]:
    """Return the statuses that a choice of the status filter means."""
    return _GROUPS.get(value, (value,))


def read_filter(params: Mapping[str, str]) -> dict[str, str]:
    """Return the query string of the list of open work as the filter of a retry run."""
    wanted = {name: params[name] for name in _RUN_FILTERS if params.get(name)}
    if wanted.get("status") == ANY_ERROR:
        del wanted["status"]  # a run means failures anyway
    if params.get("age") in SPANS:
        before = timezone.now() - timedelta(seconds=SPANS[params["age"]][1])
        wanted["created_at__lte"] = before.isoformat(timespec="seconds")
    term = params.get("q", "").strip()
    if term:
        wanted["record_id" if as_uuid(term) else "user_hash"] = str(as_uuid(term) or term)
    return wanted


class ColumnFilter(SimpleListFilter):
    """Narrow by one column that bears the filter's name."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the choice."""
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class PartnerFilter(ColumnFilter):
    """One partner."""

    title, parameter_name = "partner", "partner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return every partner, also one that is off: it may have open work."""
        return [(row.name, row.name) for row in roster.find_partners()]


class StatusFilter(ColumnFilter):
    """One status of open work."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the statuses."""
        groups = [(ANY_ERROR, "any error"), (ON_THE_WAY, "on the way")]
        return [*groups, *((status.value, status.value) for status in _OPEN)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the choice."""
        return queryset.filter(status__in=statuses(self.value() or "")) if self.value() else queryset


class TypeFilter(ColumnFilter):
    """One data type."""

    title, parameter_name = "type", "data_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the types."""
        return [(kind.value, kind.value) for kind in DataType]


class OutcomeFilter(ColumnFilter):
    """How an attempt ended."""

    title, parameter_name = "outcome", "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the outcomes."""
        return [(outcome.value, outcome.value) for outcome in Outcome]


class _SeenFilter(ColumnFilter):
    """Choices are what open work holds now."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the values in use."""
        column = self.parameter_name or ""
        found = SyncJob.objects.failing().order_by(column).values_list(column, flat=True).distinct()
        return [(value, value) for value in found if value]


class ErrorFilter(_SeenFilter):
    """One error class."""

    title, parameter_name = "error", "error_class"


class StepFilter(_SeenFilter):
    """The step at which the work stands."""

    title, parameter_name = "step", "step"


class AgeFilter(SimpleListFilter):
    """How long the work has been open."""

    title, parameter_name = "open for more than", "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the spans."""
        return [(key, words) for key, (words, _) in SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the choice."""
        if self.value() not in SPANS:
            return queryset
        return queryset.filter(created_at__lte=timezone.now() - timedelta(seconds=SPANS[self.value() or ""][1]))


class CreatedFilter(SimpleListFilter):
    """When a record came in, or an attempt was made."""

    title, parameter_name = "time", "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the spans."""
        return [(key, f"last {words}") for key, (words, _) in SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the choice."""
        if self.value() not in SPANS:
            return queryset
        return queryset.filter(created_at__gte=timezone.now() - timedelta(seconds=SPANS[self.value() or ""][1]))


class OpenWorkFilter(SimpleListFilter):
    """A record's open work: the record list reads it together with its partner and its page."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave it to the list."""
        return queryset


class RecordPartnerFilter(OpenWorkFilter):
    """Records with open work at one partner."""

    title, parameter_name = "open at partner", "partner"
    lookups = PartnerFilter.lookups


class RecordStatusFilter(OpenWorkFilter):
    """Records with open work of one status."""

    title, parameter_name = "open work that is", "status"
    lookups = StatusFilter.lookups
