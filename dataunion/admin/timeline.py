"""What happened to a record, newest first: when it came in, every attempt with what asked for it, how each began after
the one before, and when it was synced or taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dataunion.admin.badges import badge, outcome_badge
from dataunion.admin.words import say_duration, say_span, show_when
from dataunion.models import DataUnion, SyncAttempt
from dataunion.state import Outcome
from dataunion.wording import say_class, say_status, say_step

LATEST = 200
_BY_RUN = "retry run by "
_TRIGGERS = {
    "ingest": "asked for when the record came in",
    "audit": "asked for by the audit, which found it missing",
    "report": "asked for by a service, which reported it as missing",
}


def say_trigger(trigger: str) -> str:
    """Return who or what asked for an attempt, in words."""
    if trigger in _TRIGGERS:
        return _TRIGGERS[trigger]
    if trigger.startswith(_BY_RUN):
        return f"asked for by a {trigger}"
    return f"asked for by {trigger}" if trigger else ""


def read_timeline(record: DataUnion, now: datetime) -> dict[str, Any]:
    """Return the newest events, and whether there are older attempts."""
    found = list(SyncAttempt.objects.filter(record_id=record.pk).order_by("-created_at")[: LATEST + 1])
    attempts, more = found[:LATEST], len(found) > LATEST
    events = [*_attempts(attempts, now), *_turns(record, attempts, now)]
    if not more:
        events.append(_event(record.created_at, "came in", "The record came in", now))
    events.sort(key=lambda event: event["at"], reverse=True)
    return {"events": events, "has_older": more, "has_attempts": bool(attempts)}


def _attempts(attempts: Iterable[SyncAttempt], now: datetime) -> list[dict[str, Any]]:
    """Return each attempt, and how long after its partner's attempt before it began."""
    ended: dict[str, datetime] = {}
    events = []
    for row in sorted(attempts, key=lambda one: one.started_at):
        before = ended.get(row.partner)
        waited = (row.started_at - before).total_seconds() if before else 0.0
        events.append(
            {
                "at": row.started_at,
                "row": row,
                "badge": outcome_badge(row.outcome),
                "step": say_step(row.step),
                "kind": say_class(row.error_class),
                "duration": say_duration(row.duration_ms),
                "steps": [_say_step(line) for line in row.spent or ()],
                "over": _say_over(row),
                "waited": say_span(waited) if waited >= 1 else "",
                "trigger": say_trigger(row.trigger),
                "when": show_when(row.started_at, now),
            }
        )
        ended[row.partner] = row.started_at + timedelta(milliseconds=row.duration_ms)
    return events


def _say_step(line: Mapping[str, Any]) -> str:
    """Return what an attempt spent on one step, over all its runs."""
    times = f" in {line['runs']} goes" if line["runs"] > 1 else ""
    return f"{line['step'].replace('_', ' ')} {say_duration(line['ms'])}{times}"


def _say_over(row: SyncAttempt) -> str:
    """Return how long an attempt went on that waited in between; "" for one that was a single run."""
    begun = min((datetime.fromisoformat(line["since"]) for line in row.spent or ()), default=row.started_at)
    if begun >= row.started_at:
        return ""
    ended = row.started_at + timedelta(milliseconds=row.duration_ms)
    return say_span((ended - begun).total_seconds())


def _turns(record: DataUnion, attempts: Iterable[SyncAttempt], now: datetime) -> list[dict[str, Any]]:
    """Return what the entries tell: the sync whose attempt is not there any more, and what was taken back."""
    told = {row.partner for row in attempts if row.outcome == Outcome.SYNCED}
    events = []
    for name in record.partners:
        entry = record.entry(name)
        if entry.synced_at and name not in told:
            at = datetime.fromisoformat(entry.synced_at)
            events.append(_event(at, "synced", f"{name} has it", now))
        if entry.withdrawn_at:
            at = datetime.fromisoformat(entry.withdrawn_at)
            events.append(_event(at, "withdrawn", f"It was taken back from {name}", now))
    return events


def _event(at: datetime, word: str, words: str, now: datetime) -> dict[str, Any]:
    return {"at": at, "row": None, "badge": badge(word, say_status(word)), "words": words, "when": show_when(at, now)}
