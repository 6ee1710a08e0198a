"""The first page: is everything flowing, what is stuck and why. It asks for its figures anew by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from dataunion import roster, stats, trends
from dataunion.admin.badges import breaker_badge, state_badge
from dataunion.admin.base import may_operate
from dataunion.admin.charts import draw_outcomes, draw_throughput, say_bound, say_rate
from dataunion.admin.figures import Cause, read_causes
from dataunion.admin.filters import ANY_ERROR, ON_THE_WAY
from dataunion.admin.needs import find_needs, read_latest_runs
from dataunion.admin.remedies import name_remedy
from dataunion.admin.words import cut, say_exactly, say_span, show_when
from dataunion.diagnosis import vitals
from dataunion.models import Partner
from dataunion.stats import success_rate
from dataunion.trends import WINDOWS, Trends
from dataunion.wording import say_class, say_step

_LATE_AFTER = timedelta(minutes=2)
_COUNTED_LATE_AFTER = timedelta(minutes=5)
_WINDOW = "24h"
_REFRESH_S, _REFRESH_MANY_S = 10, 60  # weeks are more rows to read, and change less


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page's context what it shows; named in UNFOLD["DASHBOARD_CALLBACK"].

    The page's script asks for the same address again, and gets the figures without the page around them.
    """
    is_refresh = bool(request.headers.get("HX-Request"))
    shown = {**context, "title": "Overview", "is_refresh": is_refresh}
    if not request.user.has_perm("dataunion.view_syncjob"):
        return {**shown, "cards": None}
    now = timezone.now()
    key = request.GET.get("window", _WINDOW)
    window = WINDOWS[key if key in WINDOWS else _WINDOW]
    past = trends.read_trends(window, now)
    cards = _add_cards(past, now)
    causes = _add_causes({card["row"].name: card["url"] for card in cards["cards"]}, now)
    return {
        **shown,
        **cards,
        **causes,
        **_add_past(past, now),
        "needs": find_needs(request, causes, cards["cards"], now),
        "runs": read_latest_runs(request, now),
        "window": window,
        "windows": [{"words": w.words, "url": f"?{urlencode({'window': k})}", "window": w} for k, w in WINDOWS.items()],
        "refresh_s": _REFRESH_S if window.span <= timedelta(days=1) else _REFRESH_MANY_S,
        "as_of": now,
        "as_of_words": say_exactly(now),
        "late_clock": _say_late_clock(now),
        "may_operate": may_operate(request),
    }


def _add_cards(past: Trends, now: datetime) -> dict[str, Any]:
    totals, due, synced = stats.read_totals(), stats.read_oldest_due(now), trends.count_synced(now)
    rows = [row for row in roster.find_active() if row.name in totals.partners]
    cards = [
        _card(row, totals, due.get(row.name), now)
        | _add_speed(past, row.name)
        | {"synced_lately": synced.get(row.name, 0)}
        for row in rows
    ]
    return {
        "records": totals.records,
        "failed": sum(card["counts"].failed for card in cards),
        "waiting": sum(card["counts"].pending for card in cards),
        "cards": cards,
        "charts": _charts(past, [row.name for row in rows]),
    }


def _card(row: Partner, totals: stats.Totals, oldest_due: datetime | None, now: datetime) -> dict[str, Any]:
    counts = totals.partners[row.name]
    rate = success_rate(counts.synced, counts.enrolled)
    jobs = reverse("admin:dataunion_syncjob_changelist")
    return {
        "row": row,
        "url": reverse("admin:dataunion_partner_change", args=[row.pk]),
        "counts": counts,
        "rate": rate,
        "rate_words": f"{rate} %" if counts.enrolled else "none yet",
        "state": state_badge(row),
        "breaker": breaker_badge(row, now),
        "oldest_due": show_when(oldest_due, now),
        "failed_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ANY_ERROR})}",
        "open_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ON_THE_WAY})}",
        "peace_until": show_when(row.not_before, now) if row.not_before > now else "",
    }


def _add_speed(past: Trends, partner: str) -> dict[str, Any]:
    tally = past.whole(partner)
    return {
        "attempts": tally.attempts,
        "attempts_rate": f"{success_rate(tally.synced, tally.attempts)} %" if tally.attempts else "—",
        "per_hour": say_rate(past.synced_per_hour(partner)),
        "half": say_bound(tally.lasts_at_most(50)),
        "most": say_bound(tally.lasts_at_most(95)),
    }


def _charts(past: Trends, partners: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": "outcomes", "type": "bar", "title": "Attempts, and how they ended", **draw_outcomes(past)},
        {"id": "synced", "type": "line", "title": "Records synced, by partner", **draw_throughput(past, partners)},
    ]


def _add_past(past: Trends, now: datetime) -> dict[str, Any]:
    """Say how far the figures over time reach, and how old they are."""
    counted = vitals.read_last("upkeep")
    reads_attempts = past.starts[1] - past.starts[0] < timedelta(hours=1)
    late = ""
    if not reads_attempts and (counted is None or now - counted > _COUNTED_LATE_AFTER):
        since = f"for {say_span((now - counted).total_seconds())}" if counted else "yet"
        late = f"Attempts were not counted {since}: what is new is missing here. Start beat and a worker for the clock."
    last = now if reads_attempts else counted
    return {
        "since": show_when(past.since, now),
        "is_cut": past.is_cut,
        "counted": show_when(last, now) if last else "",
        "late_count": late,
    }


def _add_causes(urls: dict[str, str], now: datetime) -> dict[str, Any]:
    found = read_causes()
    return {
        "causes": [{**_cause(cause, now), "partner_url": urls.get(cause.partner, "")} for cause in found.shown],
        "other_failures": found.other_failures,
        "failures_url": f"{reverse('admin:dataunion_syncjob_changelist')}?{urlencode({'status': ANY_ERROR})}",
    }


def _cause(cause: Cause, now: datetime) -> dict[str, Any]:
    query = urlencode({**cause.filter, "status": ANY_ERROR})
    return {
        "row": cause,
        "step": say_step(cause.step),
        "kind": say_class(cause.error_class),
        "url": f"{reverse('admin:dataunion_syncjob_changelist')}?{query}",
        "retry_url": f"{reverse('admin:dataunion_syncjob_retry_matching')}?{query}",
        "can_retry": cause.is_exact and cause.able > 0,
        "first": show_when(cause.first, now),
        "latest": show_when(cause.latest, now),
        "example": cut(cause.example, 300),
        "remedy": name_remedy(cause.error_class, cause.step),
    }


def _say_late_clock(now: datetime) -> str:
    """Return a warning when nothing has looked for due work for a while."""
    last = vitals.read_last("tick")
    if last is None:
        return "The clock has never ticked: due retries wait. Start beat."
    if now - last < _LATE_AFTER:
        return ""
    return f"The clock has not ticked for {say_span((now - last).total_seconds())}: due retries wait. Start beat."
