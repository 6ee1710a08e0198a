"""The links at the left: those that this person may open."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

_WORK = (
    ("Records", "description", "dataunion_dataunion"),
    ("Open work", "pending_actions", "dataunion_syncjob"),
    ("Retry runs", "replay", "dataunion_retryrun"),
    ("Retry policies", "schedule", "dataunion_retrypolicy"),
    ("Attempts", "history", "dataunion_syncattempt"),
    ("Partners", "hub", "dataunion_partner"),
    ("Backfills", "playlist_add", "dataunion_backfill"),
    ("Alerts", "notifications", "dataunion_incident"),
)
_PEOPLE = (
    ("Users", "person", "dataunion_user"),
    ("Groups", "group", "auth_group"),
    ("API keys", "key", "dataunion_apikey"),
    ("Staff log", "fact_check", "admin_logentry"),
)


def read_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links; named in UNFOLD["SIDEBAR"]."""
    overview = {"title": "Overview", "icon": "monitoring", "link": reverse("admin:index")}
    work, person = _links(request, _WORK), reverse("admin:dataunion_dataunion_person")
    if request.path.startswith(person):
        work = [{**link, "active": False} for link in work]  # its address lies below that of the records
    return [
        {"items": [overview, *work, *_person(request, person)]},
        {"title": "Access", "separator": True, "items": _links(request, _PEOPLE)},
    ]


def _person(request: HttpRequest, url: str) -> list[dict[str, Any]]:
    link = {"title": "One person", "icon": "person_search", "link": url}
    return [link] if _may_see(request, "dataunion_dataunion") else []


def _links(request: HttpRequest, rows: tuple[tuple[str, str, str], ...]) -> list[dict[str, Any]]:
    return [
        {"title": title, "icon": icon, "link": reverse(f"admin:{name}_changelist")}
        for title, icon, name in rows
        if _may_see(request, name)
    ]


def _may_see(request: HttpRequest, name: str) -> bool:
    app, model = name.split("_")
    return any(request.user.has_perm(f"{app}.{act}_{model}") for act in ("view", "change"))
