"""Retries asked for by staff: one job, a selection, or all that match a filter, each after a confirmation."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from dataunion import retries, roster
from dataunion.admin.base import StaffAdmin, go_back, name_of, note, require_operator
from dataunion.admin.filters import read_filter
from dataunion.admin.words import say_when
from dataunion.models import DataUnion, RetryRun, SyncJob
from dataunion.state import FAILING, REOPENABLE, PartnerState, RunState, Status
from dataunion.sync import tick
from dataunion.wording import say_count, say_filter

LIST = "admin:dataunion_syncjob_changelist"
_TEMPLATE = "admin/dataunion/confirm_retry.html"
_GONE = "Nothing to retry: this has been synced in the meantime."


def row_button(url: str, text: str, *, danger: bool = False) -> str:
    """Return a button that posts to `url` by the page's row form: no form may stand within the list's own form."""
    return render_to_string("admin/dataunion/row_button.html", {"url": url, "text": text, "danger": danger})


def retry_one(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show what a retry of one job would do; do it when that was confirmed."""
    require_operator(request)
    job = SyncJob.objects.filter(pk=pk).first()
    if request.method == "POST" and request.POST.get("confirmed") == "yes":
        _retry(request, job)
        return go_back(request, reverse(LIST))
    if job is None:
        messages.info(request, _GONE)
        return go_back(request, reverse(LIST))
    context = _explain(Counter({(job.partner, job.status, job.data_type): 1})) | {
        "hidden": [("next", request.POST.get("next", ""))],
        "what": f"{job.partner}: one {job.data_type} record of user {job.user_hash}",
        "form_url": request.path,
    }
    return _confirm(model_admin, request, "Retry this record?", context)


def _retry(request: HttpRequest, job: SyncJob | None) -> None:
    if job is None:
        messages.info(request, _GONE)
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


def retry_selected(model_admin: StaffAdmin, request: HttpRequest, queryset: QuerySet[SyncJob]) -> HttpResponse | None:
    """Show what a retry of the selection, at most a page, would do; start its run when that was confirmed."""
    chosen = queryset.order_by().values_list("pk", "partner", "status", "data_type", "record_id")
    jobs = list(chosen[: model_admin.list_per_page])
    if not jobs:
        messages.info(request, _GONE)
        return None
    wanted = retries.select(row[0] for row in jobs)
    if request.POST.get("confirmed") != "yes":
        context = _explain(Counter((partner, status, kind) for _, partner, status, kind, _ in jobs)) | {
            "hidden": [("action", "retry_selected"), *((ACTION_CHECKBOX_NAME, str(row[0])) for row in jobs)],
            "what": say_count(len(jobs), "selected job"),
            "form_url": request.get_full_path(),
            "same": _describe_same(wanted),
        }
        return _confirm(model_admin, request, "Retry the selection?", context)
    records = {row[4] for row in jobs if row[2] in REOPENABLE}
    note(request, DataUnion.objects.filter(pk__in=list(records)), "Retried in a selection")
    return _start(request, wanted, {row[1] for row in jobs})


def retry_matching(model_admin: StaffAdmin, request: HttpRequest) -> HttpResponse:
    """Show what a retry of all that match would do (GET), do it (POST): the filter is posted, not the rows."""
    require_operator(request)
    wanted = read_filter((request.POST if request.method == "POST" else request.GET).dict())
    if request.method == "POST":
        return _start(request, wanted, {wanted["partner"]} if "partner" in wanted else None)
    jobs = retries.matching(wanted).values_list("partner", "status", "data_type").annotate(n=Count("pk")).order_by()
    context = _explain(Counter({(partner, status, kind): n for partner, status, kind, n in jobs})) | {
        "hidden": [(name, value) for name, value in request.GET.items() if value],
        "what": f"All failures that match: {say_filter(wanted)}" if wanted else "All failures",
        "form_url": request.path,
        "same": _describe_same(wanted),
    }
    return _confirm(model_admin, request, "Retry all that match?", context)


def _confirm(model_admin: StaffAdmin, request: HttpRequest, title: str, context: dict[str, Any]) -> HttpResponse:
    back = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    page = model_admin.page_context(request, title, back_url=back if ours else reverse(LIST), **context)
    return TemplateResponse(request, _TEMPLATE, page)


def _start(request: HttpRequest, wanted: dict[str, str], partners: set[str] | None) -> HttpResponse:
    run = retries.start_run(wanted, by=name_of(request))
    if run.is_joined:
        messages.info(request, f"{_say_same(run, wanted)} You have joined it: nothing was started a second time.")
    else:
        note(request, [run], f"Started a retry of {say_filter(wanted)}: {run.wanted} of {run.total} failures")
        _tell(request, run)
    tick.nudge_partners(partners)
    _warn_of_paused(request, partners or set())
    return HttpResponseRedirect(reverse("admin:dataunion_retryrun_change", args=[run.pk]))


def _describe_same(wanted: dict[str, Any]) -> dict[str, str] | None:
    """Return the words and the address of a run under way for the same work."""
    run = retries.find_run(wanted)
    if run is None:
        return None
    return {"words": _say_same(run, wanted), "url": reverse("admin:dataunion_retryrun_change", args=[run.pk])}


def _say_same(run: RetryRun, wanted: dict[str, Any]) -> str:
    """Return who asked for the run, and what this click would have added to it."""
    asked = say_when(run.created_at, timezone.now())
    state = "paused" if run.state == RunState.PAUSED else "under way"
    words = f"A retry of the same work is {state} already: {run.asked_by} asked for it {asked}."
    new = retries.count_left_out(wanted, run)
    if not new:
        return words
    is_, them = ("is", "it") if new == 1 else ("are", "them")
    return f"{words} {say_count(new, 'job')} failed since and {is_} not part of it: retry {them} once it has ended."


def _explain(counts: Counter[tuple[str, str, str]]) -> dict[str, Any]:
    """Return how many would be sent again, how many not and why, and which of them where."""
    able: dict[str, Counter[str]] = defaultdict(Counter)
    for (partner, status, kind), n in counts.items():
        if status in REOPENABLE:
            able[partner][kind] += n
    rows = {row.name: row for row in roster.find_partners()}
    return {
        "able": sum(kinds.total() for kinds in able.values()),
        "blocked": sum(n for (_, status, _), n in counts.items() if status == Status.BLOCKED),
        "other": sum(n for (_, status, _), n in counts.items() if status not in FAILING),
        "partners": [
            {
                "name": name,
                "count": kinds.total(),
                "kinds": " and ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items())),
                "row": rows.get(name),
                "max_attempts": getattr(rows.get(name), "max_attempts", 0),
            }
            for name, kinds in sorted(able.items())
        ],
    }


def _tell(request: HttpRequest, run: RetryRun) -> None:
    left = run.total - run.wanted
    text = f"{say_count(run.wanted, 'job')} will be sent again, with all attempts anew."
    if left:
        text += f" {say_count(left, 'job')} left as before: blocked work opens again when its reason is gone."
    (messages.success if run.wanted else messages.warning)(request, text)


def _warn_of_paused(request: HttpRequest, names: set[str]) -> None:
    for row in roster.find_partners():
        if row.name in names and row.state != PartnerState.ON:
            messages.warning(request, f"{row.name} is {row.state}: nothing is sent there until it is resumed.")
