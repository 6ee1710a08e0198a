"""Retry runs: what was asked for in bulk, by whom, how each record goes, and the buttons that hold or end a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.text import capfirst

from dataunion import retries
from dataunion.admin.badges import badge
from dataunion.admin.base import ReadOnlyAdmin, find_or_404, name_of, note, refuse_method, require_operator
from dataunion.admin.words import show_when
from dataunion.models import RetryRun
from dataunion.retries import Progress
from dataunion.state import OPEN_RUN, RunState, Status
from dataunion.sync import tick
from dataunion.wording import say_count, say_filter

_SOON_S, _LATER_S = 2, 15  # between two looks: while something moves, while it waits
_UNKNOWN = "There is no such retry run."
_ACTS: dict[str, tuple[Callable[[RetryRun], bool], str]] = {
    "pause": (retries.pause_run, "Paused: nothing more is made due until the run is resumed."),
    "resume": (retries.resume_run, "Resumed: the run goes on from where it was."),
    "cancel": (retries.cancel_run, "Cancelled: what the run had not touched stays as it was."),
}


def progress_bar(progress: Progress) -> str:
    """Return how far the jobs of a run have come."""
    wanted = progress.wanted
    parts = (
        (progress.done + progress.passed_on, "bg-green-600"),
        (progress.failed + progress.blocked, "bg-red-600"),
        (progress.under_way + progress.retrying, "bg-blue-500"),
    )
    context = {
        "per_cent": 100 * progress.settled // wanted if wanted else 100,
        "words": f"{progress.done:,} of {wanted:,} done" if wanted else "nothing to do",
        "parts": [(f"{100 * n / wanted:.2f}", colour) for n, colour in parts if n],
    }
    return mark_safe(render_to_string("admin/dataunion/run_bar.html", context))  # noqa: S308 - our own template


@admin.register(RetryRun)
class RunAdmin(ReadOnlyAdmin):
    """The list and the page of one run."""

    empty_words = "Retry runs appear when somebody retries a selection, or all that match a filter."
    list_display = ("what", "shown_state", "progress", "asked_by", "started")
    list_display_links = ("what",)
    list_before_template = "admin/dataunion/runs_head.html"

    def prepare_page(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Read how all runs of a page go at once."""
        found = retries.read_progress(rows)
        for row in rows:
            row.progress = found[row.pk]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Retry runs", **(extra_context or {})})
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one run."""
        if request.method not in ("GET", "HEAD"):
            return refuse_method("GET")
        return self._show(request, object_id, "admin/dataunion/run.html")

    def progress_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show only what changes on a run's page, for the page that asks again and again."""
        return self._show(request, str(pk), "admin/dataunion/run_progress.html")

    def _show(self, request: HttpRequest, pk: str, template: str) -> HttpResponse:
        self.require_view(request)
        run = find_or_404(RetryRun.objects.all(), pk, _UNKNOWN)
        progress = retries.read_progress([run])[run.pk]
        now = timezone.now()
        context = {
            "run": run,
            "badge": badge(run.state),
            "what": capfirst(say_filter(run.filter)),
            "words": describe(run, progress),
            "bar": progress_bar(progress),
            "outcomes": _outcomes(run, progress),
            "is_open": progress.under_way + progress.retrying + progress.failed + progress.blocked > 0,
            "blocked_before": max(0, run.total - run.wanted),
            "started": show_when(run.created_at, now),
            "finished": show_when(run.finished_at, now),
            "looked_at": show_when(now, now),
            "poll_s": _choose_pace(run, progress),
            "is_running": run.state == RunState.RUNNING,
            "is_paused": run.state == RunState.PAUSED,
        }
        return TemplateResponse(request, template, self.page_context(request, "Retry run", **context))

    def get_urls(self) -> list[URLPattern]:
        """Add what the page asks for and its buttons."""
        wrap = self.admin_site.admin_view
        own = [path("<uuid:pk>/progress/", wrap(self.progress_view), name="dataunion_retryrun_progress")]
        for act in _ACTS:
            own.append(path(f"<uuid:pk>/{act}/", wrap(self.act_view), {"act": act}, f"dataunion_retryrun_{act}"))
        return own + super().get_urls()  # type: ignore[no-any-return]

    def act_view(self, request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
        """Pause, resume or cancel a run."""
        if request.method != "POST":
            return refuse_method("POST")
        require_operator(request)
        run = find_or_404(RetryRun.objects.all(), str(pk), _UNKNOWN)
        was = run.state
        do, words = _ACTS[act]
        if do(run):
            note(request, [run], f"{act.capitalize()} by {name_of(request)}: was {was}, is {run.state}")
            messages.success(request, words)
        else:
            messages.info(request, f"Nothing to {act}: the run is {run.state}.")
        if act == "resume":
            tick.nudge_partners({run.filter["partner"]} if "partner" in run.filter else None)
        return HttpResponseRedirect(reverse("admin:dataunion_retryrun_change", args=[run.pk]))

    @admin.display(description="what")
    def what(self, run: RetryRun) -> str:
        """Show the filter in words."""
        return capfirst(say_filter(run.filter))

    @admin.display(description="state")
    def shown_state(self, run: RetryRun) -> str:
        """Show the state."""
        return badge(run.state)

    @admin.display(description="progress")
    def progress(self, run: Any) -> str:
        """Show the bar."""
        return progress_bar(run.progress)

    @admin.display(description="asked")
    def started(self, run: RetryRun) -> str:
        """Show when it was asked for."""
        return show_when(run.created_at, timezone.now())


def _choose_pace(run: RetryRun, progress: Progress) -> int:
    """Return after how many seconds the page looks again; 0: nothing changes any more."""
    if run.state == RunState.RUNNING or progress.under_way:
        return _SOON_S
    return _LATER_S if run.state in OPEN_RUN or progress.retrying else 0


def describe(run: RetryRun, progress: Progress) -> str:
    """Return in a sentence what the run does now, or how it ended."""
    left = say_count(progress.untouched, "job")
    if run.state == RunState.RUNNING:
        return f"Making jobs due again: {left} still to come. You may leave this page, the run goes on."
    if run.state == RunState.PAUSED:
        return f"Paused. {left} not touched yet; what was made due before is sent. Resume the run to go on."
    if run.state == RunState.CANCELLED:
        return f"Cancelled. {left} not touched: as before. What was made due before that is sent."
    if progress.untouched:
        return f"All that still failed is due again. {left} had moved on before the run came to them."
    if not progress.wanted:
        return "Nothing matched, so there was nothing to retry."
    again = progress.failed + progress.blocked
    if again:
        return f"{say_count(again, 'job')} failed again: see what stopped them, then retry those."
    is_open = progress.under_way + progress.retrying
    return "All is due again." if is_open else "It worked: nothing of it is open any more."


def _outcomes(run: RetryRun, progress: Progress) -> list[dict[str, Any]]:
    """Return how many jobs stand where, with a link to those that are still open."""
    jobs = f"{reverse('admin:dataunion_syncjob_changelist')}?run={run.pk}"
    untouched = "left as before" if run.state == RunState.CANCELLED else "not touched yet"
    if run.state == RunState.DONE:
        untouched = "moved on before"
    rows = (
        ("synced", progress.done, ""),
        ("under way", progress.under_way, f"{jobs}&status=waiting"),
        ("to be tried again by itself", progress.retrying, f"{jobs}&status={Status.RETRYING}"),
        ("failed again", progress.failed, f"{jobs}&status={Status.FAILED}"),
        ("blocked", progress.blocked, f"{jobs}&status={Status.BLOCKED}"),
        ("retried again by somebody", progress.passed_on, ""),
        (untouched, progress.untouched, ""),
    )
    always = ("synced", "under way", "failed again")
    return [{"words": words, "count": n, "url": url if n else ""} for words, n, url in rows if n or words in always]
