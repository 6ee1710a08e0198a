"""Alerts: what is wrong now, what was, who is told, from when on; and a test message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from dataunion.admin.base import ReadOnlyAdmin, go_back, name_of, note, refuse_method, require_operator
from dataunion.admin.words import say_span, show_when
from dataunion.alerts.channels import find_channels, try_out
from dataunion.alerts.messages import next_step, path_to, read_partner_keys, say_test, title_of
from dataunion.alerts.rules import Rule
from dataunion.conf import conf
from dataunion.models import Incident, Notice
from dataunion.state import IncidentState, NoticeState

_LIST = "admin:dataunion_incident_changelist"
_TROUBLES = 5


@admin.register(Incident)
class AlertAdmin(ReadOnlyAdmin):
    """What is open stands above the list, which holds the past."""

    empty_words = "Alerts that are over appear here. So far there was none."
    list_display = ("what", "said", "began", "lasted", "told")
    list_display_links = None
    list_fullwidth = True
    list_before_template = "admin/dataunion/alerts_head.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        """Return the past."""
        rows: QuerySet[Incident] = super().get_queryset(request)
        return rows.exclude(state=IncidentState.OPEN)

    def get_urls(self) -> list[URLPattern]:
        """Add the test message."""
        view = self.admin_site.admin_view(self.test_view)
        return [path("test/", view, name="dataunion_incident_test"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what is open, the rules and the receivers, then the past."""
        page = {"title": "Alerts", **_read_head(request, timezone.now()), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, page)
        return response

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """Send a test message to all receivers now, and say how that went."""
        if request.method != "POST":
            return refuse_method("POST")
        require_operator(request)
        results = try_out(say_test(name_of(request)))
        for label, problem in results.items():
            if problem:
                messages.error(request, f"The test by {label} was not sent: {problem}.")
            else:
                messages.success(request, f"The test by {label} was handed over. See whether it arrives.")
        if results:
            ended = ", ".join(f"{label} {'failed' if problem else 'handed over'}" for label, problem in results.items())
            note(request, [request.user], f"Sent a test alert: {ended}")  # type: ignore[list-item]
        else:
            messages.warning(request, "Nobody is told yet: this page says what to set.")
        return go_back(request, reverse(_LIST))

    def prepare_page(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Fetch who was told of these."""
        told = _read_told(rows)
        for row in rows:
            row.told_to = told.get(row.pk, "")

    @admin.display(description="what")
    def what(self, row: Incident) -> str:
        """Show what it is called."""
        return title_of(row.rule, row.subject)

    @admin.display(description="began")
    def began(self, row: Incident) -> str:
        """Show when it was noticed."""
        return show_when(row.opened_at, timezone.now())

    @admin.display(description="lasted")
    def lasted(self, row: Incident) -> str:
        """Show how long it was wrong."""
        return say_span((row.seen_at - row.opened_at).total_seconds())

    @admin.display(description="told by")
    def told(self, row: Any) -> str:
        """Show by which channels people were told."""
        return row.told_to or "—"


def _read_told(rows: Sequence[Incident]) -> dict[Any, str]:
    """Return by which channels somebody was told of these incidents, by their keys."""
    told: dict[Any, set[str]] = {}
    sent = Notice.objects.filter(incident__in=[row.pk for row in rows], state=NoticeState.SENT)
    for incident, channel in sent.values_list("incident", "channel"):
        told.setdefault(incident, set()).add("e-mail" if channel == "email" else channel)
    return {incident: ", ".join(sorted(channels)) for incident, channels in told.items()}


def _read_head(request: HttpRequest, now: datetime) -> dict[str, Any]:
    rows = list(Incident.objects.filter(state=IncidentState.OPEN).order_by("opened_at"))
    told, partners = _read_told(rows), read_partner_keys() if rows else {}
    return {
        "open_alerts": [
            {
                "title": title_of(row.rule, row.subject),
                "said": row.said,
                "began": show_when(row.opened_at, now),
                "next": next_step(row.rule),
                "url": path_to(row.rule, row.subject, partners) if _may_go(request, row) else "",
                "told": told.get(row.pk, ""),
            }
            for row in rows
        ],
        "may_test": request.user.has_perm("dataunion.operate") and bool(find_channels()),
        "receivers": _say_receivers(),
        "rules": _say_rules(),
        "troubles": _read_troubles(now),
    }


def _may_go(request: HttpRequest, row: Incident) -> bool:
    """Say whether this person may open the page where it is mended."""
    return row.rule != Rule.KEY or bool(request.user.has_perm("dataunion.view_apikey"))


def _say_receivers() -> list[tuple[str, str]]:
    """Return where messages go; of the webhook's URL the host alone, since the rest is its password."""
    emails = ", ".join(settings.ALERT_EMAILS)
    if emails and not settings.CAN_SEND_EMAIL:
        emails += ": not sent, since EMAIL_URL is not set"
    hook = f"{urlsplit(settings.ALERT_URL).hostname}/••••••••" if settings.ALERT_URL else ""
    hour = settings.ALERT_DIGEST_HOUR
    return [
        ("E-mail", emails or "nobody: set EMAIL_URL and DATAUNION_ALERT_EMAILS"),
        ("Webhook", hook or "none: set DATAUNION_ALERT_URL"),
        ("Daily digest", "off" if hour is None else f"from {hour:02}:00 UTC on"),
    ]


def _say_rules() -> list[tuple[str, str, str]]:
    """Return what is judged, from when on, and the setting that says so; on a phone its name goes on after a "_"."""
    line = mark_safe("_<wbr>")
    return [
        (what, when, format_html_join(line, "{}", ((part,) for part in setting.split("_"))))
        for what, when, setting in _read_rules()
    ]


def _read_rules() -> list[tuple[str, str, str]]:
    limits = conf()
    return [
        ("A partner is stopped", "as soon as the system pauses it", ""),
        (
            "A partner does not answer",
            f"for {limits.alert_stopped_minutes:g} minutes",
            "DATAUNION_ALERT_STOPPED_MINUTES",
        ),
        (
            "Attempts fail",
            f"{limits.alert_failure_ratio:.0%} of {limits.alert_failure_minimum} or more in this hour",
            "DATAUNION_ALERT_FAILURE_RATIO, …_FAILURE_MINIMUM",
        ),
        ("Due work waits", f"for {limits.alert_due_minutes:g} minutes", "DATAUNION_ALERT_DUE_MINUTES"),
        ("The clock stands", f"for {limits.alert_clock_minutes:g} minutes", "DATAUNION_ALERT_CLOCK_MINUTES"),
        (
            "A signer runs out of funds",
            f"below {limits.alert_signer_coins:g} of the chain's coin",
            "DATAUNION_ALERT_SIGNER_COINS",
        ),
        ("An API key ends", f"within {limits.alert_key_days:g} days", "DATAUNION_ALERT_KEY_DAYS"),
        ("An alert is over", f"after {limits.alert_calm_minutes:g} quiet minutes", "DATAUNION_ALERT_CALM_MINUTES"),
    ]


def _read_troubles(now: datetime) -> list[dict[str, Any]]:
    """Return messages that did not get through: waiting for another try, or given up in the last days."""
    rows = Notice.objects.filter(state__in=[NoticeState.WAITING, NoticeState.DROPPED]).exclude(problem="")
    recent = rows.filter(created_at__gt=now - timedelta(days=7)).order_by("-created_at")[:_TROUBLES]
    return [
        {
            "title": row.title,
            "problem": row.problem,
            "next": show_when(row.due_at, now) if row.state == NoticeState.WAITING else "",
        }
        for row in recent
    ]
