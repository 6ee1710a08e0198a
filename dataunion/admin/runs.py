"""Retry runs: what was asked for in bulk, by whom, and how far it is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from dataunion.admin.badges import badge
from dataunion.admin.base import ReadOnlyAdmin, find_or_404, refuse_method
from dataunion.admin.words import say_filter, show_when
from dataunion.models import RetryRun


def progress_bar(run: RetryRun) -> str:
    """Return how much of a run is done."""
    per_cent = 100 * run.done // run.wanted if run.wanted else 100
    context = {"value": max(per_cent, 1), "title": f"{run.done} of {run.wanted}", "description": f"{per_cent} %"}
    return render_to_string("unfold/components/progress.html", context)


@admin.register(RetryRun)
class RunAdmin(ReadOnlyAdmin):
    """The list and the page of one run."""

    empty_words = "Retry runs appear when somebody retries all that match a filter."
    list_display = ("what", "shown_state", "progress", "asked_by", "started")
    list_display_links = ("what",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Retry runs", **(extra_context or {})})
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one run."""
        if request.method not in ("GET", "HEAD"):
            return refuse_method("GET")
        self.require_view(request)
        run = find_or_404(RetryRun.objects.all(), object_id, "There is no such retry run.")
        jobs = reverse("admin:dataunion_syncjob_changelist")
        partner = run.filter.get("partner", "")
        context = {
            "run": run,
            "badge": badge(run.state),
            "what": say_filter(run.filter),
            "bar": progress_bar(run),
            "untouched": run.total - run.wanted,
            "started": show_when(run.created_at, timezone.now()),
            "finished": show_when(run.finished_at, timezone.now()),
            "jobs_url": f"{jobs}?partner={partner}" if partner else jobs,
        }
        page = self.page_context(request, "Retry run", **context)
        return TemplateResponse(request, "admin/dataunion/run.html", page)

    @admin.display(description="what")
    def what(self, run: RetryRun) -> str:
        """Show the filter in words."""
        return say_filter(run.filter)

    @admin.display(description="state")
    def shown_state(self, run: RetryRun) -> str:
        """Show the state."""
        return badge(run.state)

    @admin.display(description="progress")
    def progress(self, run: RetryRun) -> str:
        """Show the bar."""
        return progress_bar(run)

    @admin.display(description="asked")
    def started(self, run: RetryRun) -> str:
        """Show when it was asked for."""
        return show_when(run.created_at, timezone.now())
