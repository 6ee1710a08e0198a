"""Coloured badges: the state of a record at a partner, of a job, an attempt, a partner, a run."""

from __future__ import annotations

from datetime import datetime

from django.template.loader import render_to_string

from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.state import Outcome, PartnerState, RunState, Status
from dataunion.wording import say_class, say_status
from partners.breaker import CLOSED, HALF_OPEN, OPEN, Breaker

_COLOURS = {
    "synced": "success",
    Status.PENDING: "",
    Status.RUNNING: "info",
    Status.DONE: "success",
    Status.RETRYING: "warning",
    Status.FAILED: "danger",
    Status.BLOCKED: "primary",
    "withdrawn": "",
    Outcome.TRANSIENT: "warning",
    Outcome.LIMITED: "info",
    Outcome.UNKNOWN: "warning",
    Outcome.PERMANENT: "danger",
    Outcome.MISCONFIGURED: "danger",
    Outcome.INTERNAL: "danger",
    Outcome.CRASHED: "danger",
    PartnerState.ON: "success",
    PartnerState.PAUSED: "warning",
    PartnerState.OFF: "",
    RunState.CANCELLED: "",
    CLOSED: "success",
    HALF_OPEN: "warning",
    OPEN: "danger",
}
_BREAKER_WORDS = {CLOSED: "answering", HALF_OPEN: "trying one", OPEN: "not answering"}


def badge(word: str, text: str = "", *, title: str = "") -> str:
    """Return the badge of a state, with another text if one is given."""
    context = {"text": text or word, "variant": _COLOURS.get(word, ""), "label_title": title}
    return render_to_string("unfold/helpers/label.html", context)


def record_badge(record: DataUnion, partner: str, job: SyncJob | None) -> str:
    """Return the badge of a record at a partner; a dash when it is not enrolled."""
    word = record.state_at(partner, job)
    return badge(word, say_status(word), title=job.error_message if job else "") if word else "—"


def outcome_badge(outcome: str) -> str:
    """Return the badge of how an attempt ended."""
    return badge(outcome, say_class(outcome))


def state_badge(row: Partner) -> str:
    """Return the badge of a partner's switch; the reason on hover."""
    return badge(row.state, title=row.state_reason)


def breaker_badge(row: Partner, now: datetime) -> str:
    """Return the badge of a partner's circuit breaker."""
    state = Breaker.load(row.breaker).state(now)
    return badge(state, _BREAKER_WORDS[state])
