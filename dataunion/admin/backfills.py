"""Backfills: older records for a partner that was switched on; how far each is, and its pause, resume and cancel."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from dataunion import backfill, roster
from dataunion.admin.badges import badge
from dataunion.admin.base import ReadOnlyAdmin, StaffAdmin, find_or_404, name_of, note, refuse_method, require_operator
from dataunion.admin.words import say_span, show_when
from dataunion.models import Backfill, Partner
from dataunion.state import OPEN_RUN, PartnerState, RunState
from dataunion.stats import count_open_of_run
from dataunion.wording import say_count

_ACTS = ("pause", "resume", "cancel")
_DONE = {"pause": "Paused", "resume": "Resumed", "cancel": "Cancelled"}
_SAID = {
    "pause": "Paused. What is enrolled already is still sent; nothing more is added until it is resumed.",
    "resume": "Resumed. It goes on within seconds.",
    "cancel": "Cancelled. What is enrolled already is still sent; all other records stay as they were.",
}


class PaceForm(forms.Form):
    """How fast older records are added."""

    per_minute = forms.IntegerField(
        label="Pace, records a minute",
        min_value=backfill.SLOWEST,
        max_value=backfill.FASTEST,
        initial=backfill.USUAL,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=f"{backfill.SLOWEST} to {backfill.FASTEST:,}. New records go first at any pace.",
    )


def ask(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say what a backfill of this partner would do, and start it when that is confirmed."""
    require_operator(request)
    row = find_or_404(Partner.objects.all(), str(pk), "There is no such partner.")
    going = backfill.find_open(row.name)
    if going is not None:
        messages.info(request, f"{row.name} is being given its older records already; here is how far it is.")
        return _to(going)
    form = PaceForm(request.POST if request.method == "POST" else None)
    if row.state == PartnerState.OFF or request.method != "POST" or not form.is_valid():
        about = backfill.count_lacking(row)
        lasts = say_span(60 * about / backfill.USUAL) if about else ""
        context = {
            "partner": row,
            "form": form,
            "about": about,
            "lasts": lasts,
            "is_off": row.state == PartnerState.OFF,
        }
        page = model_admin.page_context(request, f"Give {row.name} its older records?", **context)
        return TemplateResponse(request, "admin/dataunion/ask_backfill.html", page)
    run, is_new = backfill.start(row, per_minute=form.cleaned_data["per_minute"], by=name_of(request))
    if is_new:
        note(request, [row, run], f"Started a backfill of about {say_count(run.about, 'record')}")
        messages.success(request, "Started. It begins within seconds, and goes on if you leave this page.")
    return _to(run)


def _to(run: Backfill) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:dataunion_backfill_change", args=[run.pk]))


def read_offer(row: Partner) -> dict[str, Any]:
    """Return what a partner's page says of older records: how many it lacks, or the backfill under way."""
    going = backfill.find_open(row.name)
    if going is not None:
        url = reverse("admin:dataunion_backfill_change", args=[going.pk])
        return {"going": going, "going_url": url, "going_bar": progress_bar(going), "lacking": 0}
    return {"lacking": backfill.count_lacking(row), "going": None}


def progress_bar(run: Backfill) -> str:
    """Return how much of a backfill is done; what it goes by is an estimate, so that only its end is the whole."""
    is_done = run.state == RunState.DONE
    per_cent = 100 if is_done else min(99, 100 * run.done // max(1, run.about))
    title = f"{run.done:,} of {'' if is_done else 'about '}{max(run.done, run.about if not is_done else 0):,}"
    context = {"value": max(per_cent, 1), "title": title, "description": f"{per_cent} %"}
    return render_to_string("unfold/components/progress.html", context)


@admin.register(Backfill)
class BackfillAdmin(ReadOnlyAdmin):
    """The list and the page of one backfill."""

    empty_words = "Backfills appear when a partner is given its older records; its page offers that."
    list_display = ("partner", "shown_state", "progress", "asked_by", "started")
    list_display_links = ("partner",)

    def get_urls(self) -> list[URLPattern]:
        """Add pause, resume and cancel."""
        wrap = self.admin_site.admin_view
        urls: list[URLPattern] = super().get_urls()
        names = [(act, f"dataunion_backfill_{act}") for act in _ACTS]
        return [path(f"<uuid:pk>/{a}/", wrap(partial(self.act_view, act=a)), name=name) for a, name in names] + urls

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Backfills", **(extra_context or {})})
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one backfill; it refreshes itself while it is under way."""
        if request.method not in ("GET", "HEAD"):
            return refuse_method("GET")
        self.require_view(request)
        run = find_or_404(Backfill.objects.all(), object_id, "There is no such backfill.")
        page = self.page_context(request, f"Older records for {run.partner}", **_describe(run))
        return TemplateResponse(request, "admin/dataunion/backfill.html", page)

    def act_view(self, request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
        """Pause, resume (at another pace, if one is given) or cancel."""
        if request.method != "POST":
            return refuse_method("POST")
        require_operator(request)
        run = find_or_404(Backfill.objects.all(), str(pk), "There is no such backfill.")
        was, pace = run.state, run.per_minute
        if _act(act, run, request):
            change = f", {pace} to {run.per_minute} a minute" if run.per_minute != pace else ""
            note(request, [run], f"{_DONE[act]} at {run.done:,} records (was {was}){change}")
            messages.success(request, _SAID[act])
        else:
            messages.info(request, f"It is {run.state} already; nothing was changed.")
        return _to(run)

    @admin.display(description="state")
    def shown_state(self, run: Backfill) -> str:
        """Show the state."""
        return badge(run.state)

    @admin.display(description="progress")
    def progress(self, run: Backfill) -> str:
        """Show the bar."""
        return progress_bar(run)

    @admin.display(description="asked")
    def started(self, run: Backfill) -> str:
        """Show when it was asked for."""
        return show_when(run.created_at, timezone.now())


def _act(act: str, run: Backfill, request: HttpRequest) -> bool:
    if act == "resume":
        form = PaceForm(request.POST)
        return backfill.resume(run, per_minute=form.cleaned_data["per_minute"] if form.is_valid() else None)
    return backfill.pause(run) if act == "pause" else backfill.cancel(run)


def _describe(run: Backfill) -> dict[str, Any]:
    now = timezone.now()
    row = roster.get_partner(run.partner)
    left = max(0, run.about - run.done)
    waiting, failed = count_open_of_run(run)
    jobs = reverse("admin:dataunion_syncjob_changelist")
    return {
        "run": run,
        "badge": badge(run.state),
        "bar": progress_bar(run),
        "is_open": run.state in OPEN_RUN,
        "is_running": run.state == RunState.RUNNING,
        "form": PaceForm(initial={"per_minute": run.per_minute}),
        "started": show_when(run.created_at, now),
        "finished": show_when(run.finished_at, now),
        "lasts": say_span(60 * left / run.per_minute) if left else "",
        "is_settling": run.state == RunState.RUNNING and not left,
        "partner_state": row.state,
        "partner_url": reverse("admin:dataunion_partner_change", args=[row.pk]),
        "jobs_url": f"{jobs}?partner={run.partner}",
        "waiting": waiting,
        "failed": failed,
    }
