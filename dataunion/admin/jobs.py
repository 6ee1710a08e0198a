"""Open work: every record that a partner does not have yet, newest change first, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst

from dataunion import exports, roster, search
from dataunion.admin import retrying
from dataunion.admin.badges import badge, record_badge
from dataunion.admin.base import ReadOnlyAdmin, find_or_404, may_operate
from dataunion.admin.downloads import CsvDownload
from dataunion.admin.filters import JOB_FILTERS, is_filter
from dataunion.admin.searching import narrow
from dataunion.admin.words import TWO_LINES, WIDE, cut, show_when
from dataunion.models import NEVER, DataUnion, SyncJob
from dataunion.state import REOPENABLE, PartnerState, Status
from dataunion.wording import say_class, say_count, say_status, say_step

_LONGEST_ERROR = 90


@admin.register(SyncJob)
class JobAdmin(CsvDownload, ReadOnlyAdmin):
    """The list; a job's own page is its record's."""

    csv_name = "Open work"
    empty_words = "Every record is where it should be."
    newest_by = "changed_at"
    list_display = ("state", "mend", "stands", "error", "shown_record", "due", "elsewhere", "changed")
    list_display_links = None
    list_filter = JOB_FILTERS
    list_before_template = "admin/dataunion/jobs_head.html"
    list_fullwidth = True
    search_fields = ("user_hash",)
    search_help_text = "User hash, data id, record id, object key, transaction, file id"
    actions = ("retry_selected",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncJob]:
        """Return all work. The condition is true of each; with it MongoDB walks the index that has the list's order."""
        rows: QuerySet[SyncJob] = super().get_queryset(request).filter(changed_at__gt=NEVER)
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SyncJob], search_term: str
    ) -> tuple[QuerySet[SyncJob], bool]:
        """Search whole values: each is indexed, parts of them are not."""
        return narrow(request, queryset, search.narrow_jobs(search_term), search_term), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Say whether a parameter of the address is one of the filters."""
        return is_filter(self.list_filter, lookup)

    def prepare_page(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Tell the rows who looks at them, and where else their records are: two queries for a page."""
        operable, pks = may_operate(request), list({row.record_id for row in rows})
        records, jobs = DataUnion.objects.in_bulk(pks), SyncJob.objects.filter(record_id__in=pks)
        work = {(job.record_id, job.partner): job for job in jobs}
        partners = {row.name: row for row in roster.find_partners()}
        names = [name for name, row in partners.items() if row.state != PartnerState.OFF]
        first = {name: roster.requirements(row) for name, row in partners.items()}
        for row in rows:
            row.operable, record = operable, records.get(row.record_id)
            row.partner_row = partners.get(row.partner)
            row.missing = [name for name in first.get(row.partner, ()) if (row.record_id, name) in work]
            row.others = [
                (record, name, work.get((row.record_id, name)))
                for name in names
                if record is not None and name in record.partners and name != row.partner
            ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with what can be retried at once."""
        matching = reverse("admin:dataunion_syncjob_retry_matching")
        context = {
            "title": "Open work",
            "may_operate": may_operate(request),
            "retry_matching_url": f"{matching}?{request.GET.urlencode()}",
            "export_url": reverse("admin:dataunion_syncjob_export"),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Go to the record's page."""
        self.require_view(request)
        gone = "This work is done, or never was: look for its record."
        job = find_or_404(SyncJob.objects.all(), object_id, gone)
        return HttpResponseRedirect(reverse("admin:dataunion_dataunion_change", args=[job.record_id]))

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that retry, and the download."""
        wrap = self.admin_site.admin_view
        own = [
            path("export/", wrap(self.export_view), name="dataunion_syncjob_export"),
            path("retry-matching/", wrap(self.retry_matching_view), name="dataunion_syncjob_retry_matching"),
            path("<uuid:pk>/retry/", wrap(self.retry_view), name="dataunion_syncjob_retry"),
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def read_csv(self, found: Any) -> Iterable[exports.Row]:
        """Return the rows that match."""
        return exports.read_jobs(found.queryset)

    def retry_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Retry one job now."""
        return retrying.retry_one(self, request, pk)

    def retry_matching_view(self, request: HttpRequest) -> HttpResponse:
        """Ask, then retry all that match a filter."""
        return retrying.retry_matching(self, request)

    @admin.action(description="Retry the selected jobs", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[SyncJob]) -> HttpResponse | None:
        """Ask, then retry a selection."""
        return retrying.retry_selected(self, request, queryset)

    @admin.display(description="status")
    def state(self, job: SyncJob) -> str:
        """Show the status."""
        return badge(job.status, say_status(job.status))

    @admin.display(description="partner")
    def stands(self, job: SyncJob) -> str:
        """Show the partner, the step at which the work stands there, and the attempts it has used."""
        parts = [say_step(job.step), say_count(job.attempts, "attempt") if job.attempts else ""]
        below = ", ".join(filter(None, parts))
        return format_html(TWO_LINES, job.partner, below) if below else job.partner

    @admin.display(description="record")
    def shown_record(self, job: SyncJob) -> str:
        """Show whose record it is, with a link to its page, and its type."""
        url = reverse("admin:dataunion_dataunion_change", args=[job.record_id])
        link = '<a href="{}" title="{}" class="text-link">{}</a>'
        shown = format_html(link, url, f"{job.user_hash} · {job.record_id}", cut(job.user_hash, 14))
        return format_html(TWO_LINES, shown, job.data_type)

    @admin.display(description="due")
    def due(self, job: Any) -> str:
        """Show when it is sent next, in words."""
        if job.status == Status.RUNNING:
            return "being sent"
        if job.status == Status.FAILED:
            return "when retried"
        if job.missing:
            return f"after {' and '.join(job.missing)}"
        if job.status == Status.BLOCKED:
            return "when unblocked"
        if job.partner_row is not None and job.partner_row.state != PartnerState.ON:
            return "when resumed"
        return show_when(job.due_at, timezone.now())

    @admin.display(description="error")
    def error(self, job: SyncJob) -> str:
        """Show the class and the beginning of the message."""
        if not job.error_class:
            return "—"
        text = '<span title="{}" class="block max-w-sm whitespace-normal" style="{}"><strong>{}.</strong> {}</span>'
        kind = capfirst(say_class(job.error_class))
        return format_html(text, job.error_message, WIDE, kind, cut(job.error_message, _LONGEST_ERROR))

    @admin.display(description="changed")
    def changed(self, job: SyncJob) -> str:
        """Show the last change."""
        return show_when(job.changed_at, timezone.now())

    @admin.display(description="elsewhere")
    def elsewhere(self, job: Any) -> str:
        """Show where the record is at the other partners."""
        one = '<span class="flex flex-row gap-2 items-center justify-between py-px">{} {}</span>'
        badges = ((name, record_badge(record, name, work)) for record, name, work in job.others)
        return format_html_join("", one, badges) or "—"

    @admin.display(description="mend")
    def mend(self, job: Any) -> str:
        """Show a button where a retry is possible. It belongs to a form outside the list's own."""
        if job.status not in REOPENABLE or not job.operable:
            return ""
        return retrying.row_button(reverse("admin:dataunion_syncjob_retry", args=[job.pk]), "Retry")
