"""Retries asked for by staff: one job at a click; a selection, or all that match a filter, after a confirmation."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse

from dataunion import retries, roster
from dataunion.admin.base import StaffAdmin, go_back, name_of, note, refuse_method, require_operator
from dataunion.admin.filters import read_filter
from dataunion.admin.words import say_count, say_filter
from dataunion.models import DataUnion, SyncJob
from dataunion.state import FAILING, REOPENABLE, PartnerState, Status
from dataunion.sync import tick

LIST = "admin:dataunion_syncjob_changelist"
_TEMPLATE = "admin/dataunion/confirm_retry.html"


def row_button(url: str, text: str, *, danger: bool = False) -> str:
    """Return a button that posts to `url` by the page's row form: no form may stand within the list's own form."""
    return render_to_string("admin/dataunion/row_button.html", {"url": url, "text": text, "danger": danger})


def retry_one(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Retry one job now."""
    if request.method != "POST":
        return refuse_method("POST")
    require_operator(request)
    job = SyncJob.objects.filter(pk=pk).first()
    if job is None:
        messages.info(request, "Nothing to retry: this record has been synced in the meantime.")
    elif retries.retry_job(job, by=name_of(request)):
        tick.nudge_partners({job.partner})
        note(
            request,
            DataUnion.objects.filter(pk=job.record_id),
            f"Retried {job.partner} (was: {job.status}, {job.error_class or 'no error'})",
        )
        messages.success(request, f"{job.partner}: one job is due now, with all its attempts anew.")
        _warn_of_paused(request, {job.partner})
    else:
        messages.info(request, f"{job.partner}: nothing to retry, the job is {job.status}.")
    return go_back(request, reverse(LIST))


def retry_selected(model_admin: StaffAdmin, request: HttpRequest, queryset: QuerySet[SyncJob]) -> HttpResponse | None:
    """Show what a retry of the selection would do; do it when that was confirmed."""
    jobs = list(queryset.order_by().values_list("pk", "partner", "status", "record_id"))
    if request.POST.get("confirmed") != "yes":
        counts = Counter((partner, status) for _, partner, status, _ in jobs)
        context = _explain(counts) | {
            "hidden": [("action", "retry_selected"), *((ACTION_CHECKBOX_NAME, str(row[0])) for row in jobs)],
            "what": say_count(len(jobs), "selected job"),
            "form_url": request.get_full_path(),
        }
        return TemplateResponse(
            request, _TEMPLATE, model_admin.page_context(request, "Retry the selection?", **context)
        )
    found = SyncJob.objects.filter(pk__in=[row[0] for row in jobs])
    reopened = retries.retry_selection(found, by=name_of(request))
    partners = {row[1] for row in jobs}
    tick.nudge_partners(partners)
    records = {row[3] for row in jobs if row[2] in REOPENABLE}
    note(request, DataUnion.objects.filter(pk__in=list(records)), "Retried in a selection")
    _tell(request, reopened, len(jobs) - reopened)
    _warn_of_paused(request, partners)
    return None


def retry_matching(model_admin: StaffAdmin, request: HttpRequest) -> HttpResponse:
    """Show what a retry of all that match would do (GET), do it (POST): the filter is posted, not the rows."""
    require_operator(request)
    wanted = read_filter((request.POST if request.method == "POST" else request.GET).dict())
    if request.method == "POST":
        return _start(request, wanted)
    jobs = retries.matching(wanted).values_list("partner", "status").annotate(n=Count("pk")).order_by()
    counts = Counter({(partner, status): n for partner, status, n in jobs})
    context = _explain(counts) | {
        "hidden": [(name, value) for name, value in request.GET.items() if value],
        "what": f"All failures that match: {say_filter(wanted)}",
        "form_url": request.path,
    }
    title = "Retry all that match?"
    return TemplateResponse(request, _TEMPLATE, model_admin.page_context(request, title, **context))


def _start(request: HttpRequest, wanted: dict[str, str]) -> HttpResponse:
    run = retries.start_run(wanted, by=name_of(request))
    tick.nudge_partners({wanted["partner"]} if "partner" in wanted else None)
    note(request, [run], f"Retried all that match: {say_filter(wanted)} ({run.wanted} of {run.total})")
    _tell(request, run.wanted, run.total - run.wanted)
    _warn_of_paused(request, {wanted["partner"]} if "partner" in wanted else set())
    return HttpResponseRedirect(reverse("admin:dataunion_retryrun_change", args=[run.pk]))


def _explain(counts: Counter[tuple[str, str]]) -> dict[str, Any]:
    """Return how many would be sent again, how many not and why, and which of them where."""
    able = Counter({p: sum(n for (q, s), n in counts.items() if q == p and s in REOPENABLE) for p, _ in counts})
    blocked = sum(n for (_, s), n in counts.items() if s == Status.BLOCKED)
    other = sum(n for (_, s), n in counts.items() if s not in FAILING)
    rows = {row.name: row for row in roster.find_partners()}
    return {
        "able": able.total(),
        "blocked": blocked,
        "other": other,
        "partners": [
            {
                "name": name,
                "count": n,
                "row": rows.get(name),
                "max_attempts": getattr(rows.get(name), "max_attempts", 0),
            }
            for name, n in sorted(able.items())
            if n
        ],
    }


def _tell(request: HttpRequest, reopened: int, left: int) -> None:
    text = f"{say_count(reopened, 'job')} due now, with all attempts anew."
    if left:
        text += f" {say_count(left, 'job')} left as before: blocked, or not failed any more."
    (messages.success if reopened else messages.warning)(request, text)


def _warn_of_paused(request: HttpRequest, names: set[str]) -> None:
    for row in roster.find_partners():
        if row.name in names and row.state != PartnerState.ON:
            messages.warning(request, f"{row.name} is {row.state}: nothing is sent there until it is resumed.")
