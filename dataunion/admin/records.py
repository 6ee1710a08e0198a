"""Records: what there is and where it is synced. The list; record_page has the page of one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from dataunion import exports, roster, search
from dataunion.admin import person
from dataunion.admin.badges import record_badge
from dataunion.admin.base import ReadOnlyAdmin, find_or_404, note, refuse_method, require_operator
from dataunion.admin.downloads import CsvDownload
from dataunion.admin.filters import RECORD_FILTERS, ColumnFilter, OfOpenWork, TypeFilter, is_filter
from dataunion.admin.paging import CursorChangeList
from dataunion.admin.record_page import read_record_page
from dataunion.admin.searching import narrow
from dataunion.admin.words import cut, show_when
from dataunion.models import DataUnion, SyncJob
from dataunion.renaming import NotRenamableError, send_under_new_name
from dataunion.sync import tick

_AT_ONCE = 2000  # records with open work that one page looks through


class RecordChangeList(CursorChangeList):
    """Narrows by open work: its rows, not the records, are searched."""

    records: QuerySet[DataUnion]  # that the other filters leave
    open_work: QuerySet[SyncJob] | None  # that the filters of open work leave; None where none is set

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[DataUnion]:
        """Apply the filters of open work to the records of this page's side of the cursor."""
        self.records = super().get_queryset(request, exclude_parameters)
        self.open_work = self._find_open_work()
        if self.open_work is None:
            return self.records
        jobs = self.open_work.order_by("-record_id")
        after, before = (search.as_uuid(request.GET.get(name, "")) for name in ("after", "before"))
        if before:
            jobs = jobs.filter(record_id__gt=before).order_by("record_id")
        else:
            # True of each without a cursor; with it MongoDB walks the index that has the order.
            jobs = jobs.filter(record_id__lt=after or UUID(int=2**128 - 1))
        return self.records.filter(pk__in=list(jobs.values_list("record_id", flat=True)[:_AT_ONCE]))

    def _find_open_work(self) -> QuerySet[SyncJob] | None:
        chosen = [spec for spec in self.filter_specs if isinstance(spec, ColumnFilter) and spec.value()]
        if not any(isinstance(spec, OfOpenWork) for spec in chosen):
            return None
        jobs: QuerySet[SyncJob] = SyncJob.objects.filter(**search.narrow_jobs(self.query))
        for spec in chosen:
            if isinstance(spec, (OfOpenWork, TypeFilter)):
                jobs = spec.apply(jobs)
        return jobs


@admin.register(DataUnion)
class RecordAdmin(CsvDownload, ReadOnlyAdmin):
    """The list of records."""

    csv_name = "Records"
    empty_words = "Records appear when a service hands them in, or by ./run manage import_records."
    list_filter = RECORD_FILTERS
    list_fullwidth = True
    list_before_template = "admin/dataunion/list_tools.html"
    search_fields = ("user_hash",)
    search_help_text = "User hash, data id, record id, object key, transaction, file id"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CursorChangeList]:
        """Return the list that looks through open work."""
        return RecordChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns: one for each partner that is not off."""
        partners = [_partner_column(row.name) for row in roster.find_active()]
        return ["user", "shown_id", "type", *partners, "created"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        context = {"title": "Records", "export_url": reverse("admin:dataunion_dataunion_export")}
        response: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})
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
        """Search whole values: each is indexed, parts of them are not."""
        return narrow(request, queryset, search.narrow_records(search_term), search_term), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Say whether a parameter of the address is one of the filters."""
        return is_filter(self.list_filter, lookup)

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
        """Add what is posted to a record, the downloads, and the page of one person."""
        wrap = self.admin_site.admin_view
        own = [
            path("person/", wrap(self.person_view), name="dataunion_dataunion_person"),
            path("person/export/", wrap(self.person_export_view), name="dataunion_dataunion_person_export"),
            path("export/", wrap(self.export_view), name="dataunion_dataunion_export"),
            path("<uuid:pk>/rename/", wrap(self.rename_view), name="dataunion_dataunion_rename"),
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def read_csv(self, found: Any) -> Iterable[exports.Row]:
        """Return the rows that match."""
        return exports.read_records(found.records, found.open_work, [row.name for row in roster.find_partners()])

    def person_view(self, request: HttpRequest) -> HttpResponse:
        """Show all records of one person."""
        return person.show(self, request)

    def person_export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Send all that is stored about one person."""
        return person.export(self, request)

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

    @admin.display(description="type")
    def type(self, record: DataUnion) -> str:
        """Show the data type."""
        return record.data_type

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
