"""The first page: is everything flowing, what is stuck and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from dataunion import roster, stats
from dataunion.admin.badges import breaker_badge, state_badge
from dataunion.admin.base import may_operate
from dataunion.admin.figures import Cause, read_causes
from dataunion.admin.filters import ANY_ERROR, ON_THE_WAY
from dataunion.admin.words import cut, say_span, show_when
from dataunion.diagnosis import vitals
from dataunion.models import Partner
from dataunion.stats import Queue, read_queues

_LATE_AFTER = timedelta(minutes=2)


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page's context what it shows; named in UNFOLD["DASHBOARD_CALLBACK"]."""
    if not request.user.has_perm("dataunion.view_syncjob"):
        return {**context, "title": "Overview", "cards": None}
    now = timezone.now()
    totals, queues = stats.read_totals(), read_queues(now)
    cards = [_card(row, totals, queues.get(row.name, Queue()), now) for row in roster.find_active()]
    return {
        **context,
        "title": "Overview",
        "records": totals.records,
        "cards": cards,
        "causes": [_cause(cause, now) for cause in read_causes()],
        "late_clock": _say_late_clock(now),
        "may_operate": may_operate(request),
    }


def _card(row: Partner, totals: stats.Totals, queue: Queue, now: datetime) -> dict[str, Any]:
    counts = totals.partners[row.name]
    rate = stats.success_rate(counts.synced, counts.enrolled)
    jobs = reverse("admin:dataunion_syncjob_changelist")
    return {
        "row": row,
        "url": reverse("admin:dataunion_partner_change", args=[row.pk]),
        "counts": counts,
        "rate": rate,
        "rate_words": f"{rate} %",
        "state": state_badge(row),
        "breaker": breaker_badge(row, now),
        "oldest_due": show_when(queue.oldest_due, now),
        "failed_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ANY_ERROR})}",
        "open_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ON_THE_WAY})}",
        "peace_until": show_when(row.not_before, now) if row.not_before > now else "",
    }


def _cause(cause: Cause, now: datetime) -> dict[str, Any]:
    names = {
        "partner": cause.partner,
        "step": cause.step,
        "error_class": cause.error_class,
        "status": ANY_ERROR,
    }
    url = reverse("admin:dataunion_syncjob_changelist")
    query = urlencode({name: value for name, value in names.items() if value})
    return {
        "row": cause,
        "url": f"{url}?{query}",
        "latest": show_when(cause.latest, now),
        "example": cut(cause.example),
    }


def _say_late_clock(now: datetime) -> str:
    """Return a warning when nothing has looked for due work for a while."""
    last = vitals.read_last("tick")
    if last is None:
        return "The clock has never ticked: due retries wait. Start beat."
    if now - last < _LATE_AFTER:
        return ""
    return f"The clock has not ticked for {say_span((now - last).total_seconds())}: due retries wait. Start beat."
