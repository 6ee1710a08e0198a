"""Filters of the lists. Each choice is a link, so that a filtered list can be sent to a colleague.

What narrows open work is said once, by `narrow`: the list, the list of records and retry runs all go by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dataunion import roster, search
from dataunion.models import SyncJob
from dataunion.state import FAILING, DataType, Outcome, Status
from dataunion.wording import say_class, say_status, say_step

SPANS = {"10m": ("10 minutes", 600), "1h": ("1 hour", 3600), "1d": ("1 day", 86_400), "7d": ("7 days", 7 * 86_400)}
_OPEN = (Status.PENDING, Status.RUNNING, Status.RETRYING, Status.FAILED, Status.BLOCKED)
ANY_ERROR, ON_THE_WAY = "error", "waiting"  # as in statistics: what failed, and the rest
_GROUPS = {ANY_ERROR: FAILING, ON_THE_WAY: (Status.PENDING, Status.RUNNING)}
_ATTEMPTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "0": ("none yet", {"attempts": 0}),
    "1": ("1", {"attempts": 1}),
    "2-5": ("2 to 5", {"attempts__gte": 2, "attempts__lte": 5}),
    "more": ("more than 5", {"attempts__gte": 6}),
}
NOT_BEGUN = "-"  # the step of what never began one
_NOBODY = UUID(int=0)


def read_filter(params: Mapping[str, str]) -> dict[str, Any]:
    """Return the query string of the list of open work as the filter of a retry run."""
    wanted: dict[str, Any] = {}
    for one in JOB_FILTERS:
        value = params.get(one.parameter_name or "", "")
        wanted |= one.narrow(value) if value else {}
    if wanted.get("status") == ANY_ERROR:
        del wanted["status"]  # a run means failures anyway
    return wanted | search.narrow_jobs(params.get("q", ""))


def is_filter(filters: Iterable[type[SimpleListFilter]], name: str) -> bool:
    """Say whether a parameter of the address is one of these filters: others would narrow the list and no retry."""
    return name in {one.parameter_name for one in filters}


def _ago(value: str) -> str:
    return (timezone.now() - timedelta(seconds=SPANS[value][1])).isoformat(timespec="milliseconds")


class ColumnFilter(SimpleListFilter):
    """Narrow by one column that bears the filter's name."""

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what a choice means, in plain JSON."""
        return {cls.parameter_name or "": value}

    def apply(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the choice leaves."""
        return rows.filter(**self.narrow(self.value() or ""))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the choice, if one was made."""
        return self.apply(queryset) if self.value() else queryset


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
        groups = [(ANY_ERROR, "any error"), (ON_THE_WAY, "waiting or being sent")]
        return [*groups, *((status.value, say_status(status)) for status in _OPEN)]

    def apply(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the status, or of its group."""
        return rows.filter(status__in=_GROUPS.get(self.value() or "", (self.value(),)))


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
        return [(outcome.value, say_class(outcome)) for outcome in Outcome]


class _SeenFilter(ColumnFilter):
    """Choices are what failing work holds now, and what was chosen: a saved link may outlive it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the values in use."""
        column = self.parameter_name or ""
        found = SyncJob.objects.failing().order_by(column).values_list(column, flat=True).distinct()
        return [(value, self.say(value)) for value in dict.fromkeys([*found, self.value()]) if value]

    def say(self, value: str) -> str:
        """Return a value in words."""
        return value


class ErrorFilter(_SeenFilter):
    """One error class of failing work; what was reopened keeps its last error, which is the past."""

    title, parameter_name = "error", "error_class"

    def apply(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the failing rows of the class: what it costs is failures."""
        return super().apply(rows.filter(status__in=FAILING))

    def say(self, value: str) -> str:
        """Return what the class means."""
        return say_class(value)


class StepFilter(_SeenFilter):
    """The step at which the work stands."""

    title, parameter_name = "step", "step"

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what a choice means."""
        return {"step__in": [""]} if value == NOT_BEGUN else {"step": value}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the steps in use."""
        seen = super().lookups(request, model_admin)
        return [(NOT_BEGUN, "the first"), *(pair for pair in seen if pair[0] != NOT_BEGUN)]

    def say(self, value: str) -> str:
        """Return the step as people write it."""
        return say_step(value)


class AttemptsFilter(ColumnFilter):
    """How many attempts of its budget the work has used."""

    title, parameter_name = "attempts used", "attempts"

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what a choice means."""
        return dict(_ATTEMPTS[value][1]) if value in _ATTEMPTS else {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the ranges."""
        return [(key, words) for key, (words, _) in _ATTEMPTS.items()]


class AgeFilter(ColumnFilter):
    """How long the work has been open."""

    title, parameter_name = "open for more than", "age"

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what a choice means now."""
        return {"created_at__lte": _ago(value)} if value in SPANS else {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the spans."""
        return [(key, words) for key, (words, _) in SPANS.items()]


class ChangedFilter(ColumnFilter):
    """When the work changed last."""

    title, parameter_name = "last change", "changed"

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what a choice means now."""
        return {"changed_at__gte": _ago(value)} if value in SPANS else {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the spans."""
        return [(key, f"in the last {words}") for key, (words, _) in SPANS.items()]


class _LinkedFilter(ColumnFilter):
    """One exact value to which a link led; nobody chooses it from a list."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the value in the address, if there is one."""
        return [(self.value() or "", self.value() or "")] if self.value() else []


class CauseFilter(_LinkedFilter):
    """What failing work has in common."""

    title, parameter_name = "cause", "cause"

    def apply(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the failing rows of the cause: what it costs is failures."""
        return super().apply(rows.filter(status__in=FAILING))


class RunFilter(_LinkedFilter):
    """The retry run that reopened the work last."""

    title, parameter_name = "retry run", "run"

    @classmethod
    def narrow(cls, value: str) -> dict[str, Any]:
        """Return what the id means; what is no id is nobody's."""
        return {"run": str(search.as_uuid(value) or _NOBODY)}


JOB_FILTERS: tuple[type[ColumnFilter], ...] = (
    PartnerFilter,
    StatusFilter,
    TypeFilter,
    ErrorFilter,
    StepFilter,
    AttemptsFilter,
    AgeFilter,
    ChangedFilter,
    CauseFilter,
    RunFilter,
)


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


class OfOpenWork(ColumnFilter):
    """A record's open work: the list of records reads it together with its page."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave it to the list."""
        return queryset


class RecordPartnerFilter(OfOpenWork, PartnerFilter):
    """Records with open work at one partner."""

    title = "open at partner"


class RecordStatusFilter(OfOpenWork, StatusFilter):
    """Records with open work of one status."""

    title = "open work that is"


class RecordErrorFilter(OfOpenWork, ErrorFilter):
    """Records with failing work of one error class."""


class RecordStepFilter(OfOpenWork, StepFilter):
    """Records with open work at one step."""

    title = "open at step"


class RecordAttemptsFilter(OfOpenWork, AttemptsFilter):
    """Records with open work that has used so many attempts."""


class RecordAgeFilter(OfOpenWork, AgeFilter):
    """Records whose work has been open for so long."""


class RecordChangedFilter(OfOpenWork, ChangedFilter):
    """Records whose open work changed since."""

    title = "open work changed"


class RecordCauseFilter(OfOpenWork, CauseFilter):
    """Records with failing work of one cause."""


class RecordRunFilter(OfOpenWork, RunFilter):
    """Records with open work that a retry run reopened last."""


RECORD_FILTERS: tuple[type[SimpleListFilter], ...] = (
    TypeFilter,
    CreatedFilter,
    RecordPartnerFilter,
    RecordStatusFilter,
    RecordErrorFilter,
    RecordStepFilter,
    RecordAttemptsFilter,
    RecordAgeFilter,
    RecordChangedFilter,
    RecordCauseFilter,
    RecordRunFilter,
)
