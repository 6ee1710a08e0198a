"""Records: what there is and where it is synced. The list; record_page has the page of one record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from dataunion import roster
from dataunion.admin.badges import record_badge
from dataunion.admin.base import ReadOnlyAdmin, as_uuid, find_or_404, note, refuse_method, require_operator
from dataunion.admin.filters import (
    CreatedFilter,
    RecordPartnerFilter,
    RecordStatusFilter,
    TypeFilter,
    statuses,
)
from dataunion.admin.paging import CursorChangeList
from dataunion.admin.record_page import read_record_page
from dataunion.admin.words import cut, show_when
from dataunion.models import DataUnion, RemoteRef, SyncJob
from dataunion.renaming import NotRenamableError, send_under_new_name
from dataunion.sync import tick

_AT_ONCE = 2000  # records with open work that one page looks through


class RecordChangeList(CursorChangeList):
    """Narrows by open work: its rows, not the records, are searched."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[DataUnion]:
        """Apply the filters by partner and status to the records of this page's side of the cursor."""
        found: QuerySet[DataUnion] = super().get_queryset(request, exclude_parameters)
        if not (self.params.get("partner") or self.params.get("status")):
            return found
        wanted: dict[str, Any] = {name: self.params[name] for name in ("partner", "data_type") if self.params.get(name)}
        if self.params.get("status"):
            wanted["status__in"] = statuses(self.params["status"])
        jobs = SyncJob.objects.filter(**wanted).order_by("-record_id")
        after, before = (as_uuid(request.GET.get(name, "")) for name in ("after", "before"))
        if before:
            jobs = jobs.filter(record_id__gt=before).order_by("record_id")
        elif after:
            jobs = jobs.filter(record_id__lt=after)
        return found.filter(pk__in=list(jobs.values_list("record_id", flat=True)[:_AT_ONCE]))


@admin.register(DataUnion)
class RecordAdmin(ReadOnlyAdmin):
    """The list of records."""

    empty_words = "Records appear when a service hands them in, or by ./run manage import_records."
    list_filter = (TypeFilter, RecordPartnerFilter, RecordStatusFilter, CreatedFilter)
    list_fullwidth = True
    search_fields = ("user_hash",)
    search_help_text = "User hash, data id, record id, object key, transaction"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CursorChangeList]:
        """Return the list that looks through open work."""
        return RecordChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns: one for each partner that is not off."""
        partners = [_partner_column(row.name) for row in roster.find_active()]
        return ["user", "shown_id", "data_type", *partners, "created"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Records", **(extra_context or {})})
        return response

    def prepare_page(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Fetch the open jobs of a page's records in one query."""
        jobs: dict[Any, dict[str, SyncJob]] = {row.pk: {} for row in rows}
        for job in SyncJob.objects.filter(record_id__in=list(jobs)):
            jobs[job.record_id][job.partner] = job
        for row in rows:
            row.open_jobs = jobs[row.pk]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DataUnion], search_term: str
    ) -> tuple[QuerySet[DataUnion], bool]:
        """Search whole values, by the first of these that finds something: each is indexed, parts are not."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            messages.warning(request, "E-mail addresses are not stored here. Search the person's user hash instead.")
            return queryset.none(), False
        pk = as_uuid(term)
        if pk and DataUnion.objects.filter(pk=pk).exists():
            return queryset.filter(pk=pk), False
        if DataUnion.objects.filter(user_hash=term).exists():
            return queryset.filter(user_hash=term), False
        refs = list(RemoteRef.objects.filter(value=term).values_list("record_id", flat=True)[:_AT_ONCE])
        return queryset.filter(Q(pk__in=refs) if refs else Q(data_id=term)), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one record."""
        if request.method not in ("GET", "HEAD"):
            return refuse_method("GET")
        self.require_view(request)
        record = find_or_404(DataUnion.objects.all(), object_id, "There is no such record.")
        title = f"{record.data_type} {cut(record.data_id, 60)}"
        context = self.page_context(request, title, record=record, **read_record_page(record, timezone.now()))
        return TemplateResponse(request, "admin/dataunion/record.html", context)

    def get_urls(self) -> list[URLPattern]:
        """Add what is posted to a record."""
        rename = self.admin_site.admin_view(self.rename_view)
        own = [path("<uuid:pk>/rename/", rename, name="dataunion_dataunion_rename")]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def rename_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Upload a record under a new name, and register that."""
        if request.method != "POST":
            return refuse_method("POST")
        require_operator(request)
        record = find_or_404(DataUnion.objects.all(), str(pk), "There is no such record.")
        try:
            partners = send_under_new_name(record)
        except NotRenamableError as error:
            messages.error(request, str(error))
        else:
            tick.nudge_partners(set(partners))
            note(request, [record], f"Sent under a new name to {', '.join(partners)}")
            messages.success(request, f"It is being sent under a new name: {', '.join(partners)}.")
        return HttpResponseRedirect(reverse("admin:dataunion_dataunion_change", args=[pk]))

    @admin.display(description="user")
    def user(self, record: DataUnion) -> str:
        """Show the user hash."""
        return cut(record.user_hash, 24)

    @admin.display(description="data id")
    def shown_id(self, record: DataUnion) -> str:
        """Show the data id."""
        return cut(record.data_id, 48)

    @admin.display(description="came in")
    def created(self, record: DataUnion) -> str:
        """Show when it came in."""
        return show_when(record.created_at, timezone.now())


def _partner_column(name: str) -> Callable[[Any], str]:
    @admin.display(description=name)
    def column(record: Any) -> str:
        return record_badge(record, name, record.open_jobs.get(name))

    column.__name__ = f"partner_{name}"
    return column
