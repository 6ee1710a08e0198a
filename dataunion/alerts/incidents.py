"""The moves of an incident: opened when a rule says so, ended when all was well for a while.

One is open at a time for a rule and its subject: the unique slot sees to it, whoever looks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from dataunion.alerts.rules import Verdict
from dataunion.models import Incident
from dataunion.state import IncidentState

_SAID = 500


def note(verdicts: Iterable[Verdict], now: datetime, *, calm: timedelta) -> None:
    """Open what is wrong now, and end what has been well for `calm`. What nobody knows stays as it is."""
    open_ = {row.slot: row for row in Incident.objects.filter(state=IncidentState.OPEN)}
    for verdict in verdicts:
        row = open_.pop(_slot(verdict), None)
        if verdict.said:
            _see(row, now) if row else _open(verdict, now)
        elif row and verdict.said == "":
            _end(row, now, calm)
    for row in open_.values():  # its subject is gone, or is looked at no more
        _end(row, now, calm)


def _slot(verdict: Verdict) -> str:
    return f"{verdict.rule} {verdict.subject}"


def _open(verdict: Verdict, now: datetime) -> None:
    fields = {"rule": verdict.rule.value, "subject": verdict.subject, "said": (verdict.said or "")[:_SAID]}
    try:
        with transaction.atomic():
            Incident.objects.create(slot=_slot(verdict), opened_at=now, seen_at=now, **fields)
    except IntegrityError:
        return  # somebody else looked as well


def _see(row: Incident, now: datetime) -> None:
    Incident.objects.filter(pk=row.pk, state=IncidentState.OPEN).update(seen_at=now)


def _end(row: Incident, now: datetime, calm: timedelta) -> None:
    if abs(now - row.seen_at) < calm:  # a clock may have gone back since
        return
    mine = Incident.objects.filter(pk=row.pk, state=IncidentState.OPEN)
    mine.update(state=IncidentState.ENDED, ended_at=now, slot=f"{row.slot} {row.pk}")


def find_past(before: datetime, *, limit: int) -> list[UUID]:
    """Return incidents that were over before then; one that goes on is kept however old it is."""
    over = Incident.objects.filter(state=IncidentState.OVER, ended_at__lt=before)
    return list(over.order_by("pk").values_list("pk", flat=True)[:limit])


def forget(pks: Collection[UUID]) -> None:
    """Delete incidents, whose messages are gone already."""
    Incident.objects.filter(pk__in=list(pks)).delete()


def close(row: Incident) -> None:
    """Note that the messages about its end are written."""
    Incident.objects.filter(pk=row.pk, state=IncidentState.ENDED).update(state=IncidentState.OVER)
