"""What the first page says in its first lines: what needs somebody, and whether the latest retries worked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from dataunion import retries
from dataunion.admin.runs import describe, progress_bar
from dataunion.admin.words import show_when
from dataunion.alerts.messages import title_of
from dataunion.alerts.rules import Rule
from dataunion.models import Incident, RetryRun
from dataunion.state import IncidentState, PartnerState
from dataunion.wording import say_count, say_filter
from partners.breaker import CLOSED, Breaker

_RUNS = 3
_TOLD = (Rule.STOPPED, Rule.CLOCK)  # a line of their own on the page tells of these


def find_needs(
    request: HttpRequest, causes: dict[str, Any], cards: Sequence[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return what needs somebody, each as {what, why, url}; none of it when everything flows."""
    return [*_find_failures(causes), *_find_stops(cards, now), *_find_alerts(request, now)]


def _find_failures(causes: dict[str, Any]) -> list[dict[str, str]]:
    """Return what failed, as one of the things that need somebody; nothing where all of it goes on by itself."""
    rows = [cause["row"] for cause in causes["causes"]]
    left = sum(row.able - row.retrying for row in rows) + causes["other_failures"]
    if not left:
        return []
    why = f"{say_count(len(rows), 'cause')}; what usually helps stands below"
    return [{"what": f"{say_count(left, 'job')} stopped with an error", "why": why, "url": causes["failures_url"]}]


def _find_stops(cards: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return the partners to which nothing is sent."""
    found = []
    for card in cards:
        row, waiting = card["row"], card["counts"].pending
        waits = f"{say_count(waiting, 'job')} wait{'s' * (waiting == 1)}" if waiting else "nothing waits for it"
        if row.state != PartnerState.ON:
            found.append({"what": f"{row.name} is {row.state}", "why": waits, "url": card["url"]})
        elif (breaker := Breaker.load(row.breaker)).state(now) != CLOSED:
            why = format_html("tried again {}; {}", show_when(breaker.reopens_at(), now), waits)
            found.append({"what": f"{row.name} does not answer", "why": why, "url": card["url"]})
    return found


def _find_alerts(request: HttpRequest, now: datetime) -> list[dict[str, Any]]:
    """Return the open alerts that nothing else here tells."""
    if not request.user.has_perm("dataunion.view_incident"):
        return []
    rows = Incident.objects.filter(state=IncidentState.OPEN).order_by("opened_at")
    url = reverse("admin:dataunion_incident_changelist")
    return [
        {
            "what": title_of(row.rule, row.subject),
            "why": format_html("since {}", show_when(row.opened_at, now)),
            "url": url,
        }
        for row in rows
        if row.rule not in (Rule.STOPPED, Rule.CLOCK)
    ]


def read_latest_runs(request: HttpRequest, now: datetime) -> list[dict[str, Any]]:
    """Return how the latest retry runs went."""
    if not request.user.has_perm("dataunion.view_retryrun"):
        return []
    rows = list(RetryRun.objects.order_by("-pk")[:_RUNS])
    progress = retries.read_progress(rows) if rows else {}
    return [
        {
            "what": capfirst(say_filter(row.filter)),
            "asked_by": row.asked_by,
            "started": show_when(row.created_at, now),
            "words": describe(row, progress[row.pk]),
            "bar": progress_bar(progress[row.pk]),
            "url": reverse("admin:dataunion_retryrun_change", args=[row.pk]),
        }
        for row in rows
    ]
