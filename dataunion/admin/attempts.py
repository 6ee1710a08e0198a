"""Attempts: what was tried, when, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from dataunion import exports
from dataunion.admin.badges import outcome_badge
from dataunion.admin.base import ReadOnlyAdmin, find_or_404
from dataunion.admin.downloads import CsvDownload
from dataunion.admin.filters import CreatedFilter, OutcomeFilter, PartnerFilter
from dataunion.admin.timeline import say_trigger
from dataunion.admin.words import TWO_LINES, WIDE, cut, say_duration, show_when
from dataunion.models import SyncAttempt
from dataunion.search import as_uuid
from dataunion.wording import say_step

_WIDE = "min-width: min(10.5rem, 40vw)"


@admin.register(SyncAttempt)
class AttemptAdmin(CsvDownload, ReadOnlyAdmin):
    """The list; an attempt's own page is its record's."""

    csv_name = "Attempts"
    empty_words = "Attempts appear when workers send records."
    list_display = ("ended", "tried", "shown_record", "took", "error", "asked", "when")
    list_display_links = None
    list_filter = (PartnerFilter, OutcomeFilter, CreatedFilter)
    list_before_template = "admin/dataunion/list_tools.html"
    list_fullwidth = True
    search_fields = ("record",)
    search_help_text = "Record id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SyncAttempt], search_term: str
    ) -> tuple[QuerySet[SyncAttempt], bool]:
        """Search by record id."""
        if not search_term.strip():
            return queryset, False
        pk = as_uuid(search_term)
        return (queryset.filter(record_id=pk) if pk else queryset.none()), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        context = {"title": "Attempts", "export_url": reverse("admin:dataunion_syncattempt_export")}
        response: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Go to the record's page."""
        self.require_view(request)
        attempt = find_or_404(SyncAttempt.objects.all(), object_id, "There is no such attempt.")
        return HttpResponseRedirect(reverse("admin:dataunion_dataunion_change", args=[attempt.record_id]))

    def get_urls(self) -> list[URLPattern]:
        """Add the download."""
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="dataunion_syncattempt_export"), *super().get_urls()]

    def read_csv(self, found: Any) -> Iterable[exports.Row]:
        """Return the rows that match."""
        return exports.read_attempts(found.queryset)

    @admin.display(description="outcome")
    def ended(self, attempt: SyncAttempt) -> str:
        """Show how it ended."""
        return outcome_badge(attempt.outcome)

    @admin.display(description="record")
    def shown_record(self, attempt: SyncAttempt) -> str:
        """Show the end of the record's id, with a link to its page."""
        url = reverse("admin:dataunion_dataunion_change", args=[attempt.record_id])
        return format_html(
            '<a href="{}" class="text-link whitespace-nowrap">…{}</a>', url, str(attempt.record_id)[-12:]
        )

    @admin.display(description="attempt")
    def tried(self, attempt: SyncAttempt) -> str:
        """Show the partner, which attempt it was there, and the step that it reached."""
        return format_html(TWO_LINES, f"{attempt.partner} #{attempt.number}", say_step(attempt.step))

    @admin.display(description="asked for")
    def asked(self, attempt: SyncAttempt) -> str:
        """Show who or what asked for it."""
        words = say_trigger(attempt.trigger).removeprefix("asked for ")
        return format_html('<span class="block" style="{}">{}</span>', _WIDE, words)

    @admin.display(description="took")
    def took(self, attempt: SyncAttempt) -> str:
        """Show the duration."""
        return format_html('<span class="whitespace-nowrap">{}</span>', say_duration(attempt.duration_ms))

    @admin.display(description="error")
    def error(self, attempt: SyncAttempt) -> str:
        """Show the beginning of the message."""
        if not attempt.error_message:
            return "—"
        text = '<span title="{}" class="block max-w-sm whitespace-normal" style="{}">{}</span>'
        return format_html(text, attempt.error_message, WIDE, cut(attempt.error_message, 90))

    @admin.display(description="when")
    def when(self, attempt: SyncAttempt) -> str:
        """Show when it began."""
        return show_when(attempt.started_at, timezone.now())
