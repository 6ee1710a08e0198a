"""What the messages say: names, counts, times, the next step and the page for it. Never data or keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from dataunion.alerts.rules import Rule
from dataunion.models import Incident, Partner

_TITLES = {
    Rule.STOPPED: "{} is stopped",
    Rule.FAILING: "{}: too many attempts fail",
    Rule.LATE: "{}: due work waits",
    Rule.CLOCK: "The clock stands",
    Rule.FUNDS: "{}: its signer runs out of funds",
    Rule.KEY: "API key {}… ends soon",
}
_NEXT = {
    Rule.STOPPED: "Mend what the reason names, test the connection, then resume the partner if it is paused.",
    Rule.FAILING: "See which errors they have in common, mend the cause, then retry the group.",
    Rule.LATE: "Start more workers for this partner, or raise its limits.",
    Rule.CLOCK: "Start beat, a worker for the queue dataunion, and the broker.",
    Rule.FUNDS: "Send coins to the signer's address.",
    Rule.KEY: "Make a new key, hand it to the service, then revoke this one.",
}
_OVER = {
    Rule.STOPPED: "It answers again, or somebody of the staff took it in hand.",
    Rule.FAILING: "Attempts succeed again.",
    Rule.LATE: "Due work is taken up again.",
    Rule.CLOCK: "The clock ticks again.",
    Rule.FUNDS: "The signer holds enough again.",
    Rule.KEY: "The key was revoked, or has ended.",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one channel sends."""

    title: str
    body: str
    link: str = ""


def title_of(rule: str, subject: str) -> str:
    """Return what an incident is called."""
    return _TITLES[Rule(rule)].format(subject)


def next_step(rule: str) -> str:
    """Return what to do."""
    return _NEXT[Rule(rule)]


def say_opened(row: Incident) -> Message:
    """Tell that something is wrong."""
    body = f"{row.said}\nNoticed {_at(row.opened_at)}. {next_step(row.rule)}"
    return Message(title=title_of(row.rule, row.subject), body=body, link=_link(row))


def say_ended(row: Incident) -> Message:
    """Tell that it is over."""
    lasted = f"It lasted from {_at(row.opened_at)} to {_at(row.seen_at)}, and began so: {row.said}"
    body = f"{_OVER[Rule(row.rule)]}\n{lasted}"
    return Message(title=f"Over: {title_of(row.rule, row.subject)}", body=body, link=_link(row))


def say_test(by: str) -> Message:
    """Tell that nothing is wrong."""
    body = f"{by} asked for this message to see whether it arrives. Nothing is wrong."
    return Message(title="Test", body=body, link=settings.BASE_URL + reverse("admin:dataunion_incident_changelist"))


def read_partner_keys() -> dict[str, UUID]:
    """Return the partners' keys by name, for `path_to`."""
    return dict(Partner.objects.values_list("name", "pk"))


def path_to(rule: str, subject: str, partners: Mapping[str, UUID]) -> str:
    """Return the path of the page where this is mended."""
    if rule == Rule.KEY:
        return reverse("admin:dataunion_apikey_changelist")
    if rule == Rule.FAILING:
        wanted = urlencode({"partner": subject, "status": "error"})
        return f"{reverse('admin:dataunion_syncjob_changelist')}?{wanted}"
    if rule != Rule.CLOCK and subject in partners:
        return reverse("admin:dataunion_partner_change", args=[partners[subject]])
    return reverse("admin:index")


def _link(row: Incident) -> str:
    path = path_to(row.rule, row.subject, read_partner_keys())
    return f"{settings.BASE_URL}{path}"


def _at(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
