"""One person: every record at every partner by a user hash, and the export of all of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from dataunion import person, reauthentication, roster, search
from dataunion.access import EXPORT_PERSON
from dataunion.admin.badges import record_badge
from dataunion.admin.base import StaffAdmin, refuse_method
from dataunion.admin.downloads import note_download, send_file
from dataunion.admin.searching import NO_ADDRESS
from dataunion.admin.words import cut, show_when
from dataunion.cursors import cut_at
from dataunion.models import DataUnion, SyncJob

PAGE = "admin:dataunion_dataunion_person"
_ROWS = 50


def show(model_admin: StaffAdmin, request: HttpRequest) -> HttpResponse:
    """Show a person's records (GET); take a user hash that was typed (POST, so that no address gets into a URL)."""
    model_admin.require_view(request)
    if request.method == "POST":
        return _take(request)
    if request.method not in ("GET", "HEAD"):
        return refuse_method("GET", "POST")
    user_hash = request.GET.get("user", "").strip()
    context: dict[str, Any] = {"user_hash": "", "may_export": bool(request.user.has_perm(EXPORT_PERSON))}
    if person.is_user_hash(user_hash):
        context |= {"user_hash": user_hash, **_read_page(user_hash, request.GET.get("after", ""))}
    elif user_hash:
        _refuse(request, user_hash)
    page = model_admin.page_context(request, "One person", **context)
    return TemplateResponse(request, "admin/dataunion/person.html", page)


def export(model_admin: StaffAdmin, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send all that is stored about a person, once the password was given again."""
    if request.method != "POST":
        return refuse_method("POST")
    model_admin.require_view(request)
    if not request.user.has_perm(EXPORT_PERSON):
        raise PermissionDenied
    user_hash, now = request.POST.get("user", "").strip(), timezone.now()
    if not person.is_user_hash(user_hash) or not person.find_records(user_hash).exists():
        messages.error(request, "There is nothing about this person, so nothing was exported.")
        return HttpResponseRedirect(reverse(PAGE))
    try:
        reauthentication.require_password(request.user, request.POST.get("password", ""), now)  # type: ignore[arg-type]
    except reauthentication.PasswordRefusedError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(_url(user_hash))
    note_download(request, DataUnion, f"Person {user_hash}", "Exported all that is stored about this person")
    name = f"person-{user_hash[:12]}-{now:%Y%m%d-%H%M}.json"
    return send_file(person.write_export(user_hash, now), name=name, content_type="application/json")


def _take(request: HttpRequest) -> HttpResponse:
    typed = request.POST.get("user", "").strip()
    if person.is_user_hash(typed):
        return HttpResponseRedirect(_url(typed))
    _refuse(request, typed)
    return HttpResponseRedirect(reverse(PAGE))


def _refuse(request: HttpRequest, typed: str) -> None:
    other = "This is no user hash: one has letters, digits, “_” and “-” only, 128 at most."
    messages.error(request, NO_ADDRESS if search.is_address(typed) else other)


def _url(user_hash: str, **more: str) -> str:
    return f"{reverse(PAGE)}?{urlencode({'user': user_hash, **more})}"


def _read_page(user_hash: str, after: str) -> dict[str, Any]:
    """Return a page of the person's records with their state at each partner."""
    start, now = search.as_uuid(after), timezone.now()
    rows = list(cut_at(person.find_records(user_hash), "", (None, start) if start else None)[: _ROWS + 1])
    more, rows = len(rows) > _ROWS, rows[:_ROWS]
    jobs: dict[Any, dict[str, SyncJob]] = {row.pk: {} for row in rows}
    for job in SyncJob.objects.filter(record_id__in=list(jobs)):
        jobs[job.record_id][job.partner] = job
    partners = [row.name for row in roster.find_partners()]
    return {
        "partners": partners,
        "rows": [
            {
                "url": reverse("admin:dataunion_dataunion_change", args=[row.pk]),
                "data_type": row.data_type,
                "data_id": cut(row.data_id, 60),
                "created": show_when(row.created_at, now),
                "badges": [(name, record_badge(row, name, jobs[row.pk].get(name))) for name in partners],
            }
            for row in rows
        ],
        "first_url": _url(user_hash) if start else "",
        "next_url": _url(user_hash, after=str(rows[-1].pk)) if more else "",
    }
