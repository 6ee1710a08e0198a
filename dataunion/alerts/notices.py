"""Messages on their way: written once for each channel, then sent by whoever gets the turn, until one try succeeds.

A turn is one conditional update that raises `tries` and puts the next try off. So two workers never send the same
try, and a worker that dies before it noted "sent" leaves a message that is sent again later: twice, never not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from dataunion.alerts import incidents
from dataunion.alerts.channels import Channel, NotSentError, find_channels
from dataunion.alerts.messages import Message, say_ended, say_opened
from dataunion.models import Incident, Notice
from dataunion.state import IncidentState, NoticeState

log = logging.getLogger(__name__)
_AT_ONCE = 10  # of one channel in one look
_FORGET = 1000  # incidents, and digests, at once
_FIRST_S, _LONGEST_S = 120.0, 1800.0  # between two tries; the first is longer than any try lasts
_GIVE_UP = timedelta(days=1)


def announce(now: datetime) -> None:
    """Write what is to be told of incidents: that they are, and to who was told so, that they are over."""
    channels = find_channels()
    open_ = list(Incident.objects.filter(state=IncidentState.OPEN))
    ended = list(Incident.objects.filter(state=IncidentState.ENDED))
    written = set(_read_written([*open_, *ended]))
    for row in open_:
        for channel in channels:
            once = _opened(row, channel.name)
            if once not in written:
                write(once, channel.name, say_opened(row), now, incident=row.pk)
    for row in ended:
        for channel in channels:
            once = f"ended {row.pk} {channel.name}"
            if _opened(row, channel.name) in written and once not in written:
                write(once, channel.name, say_ended(row), now, incident=row.pk)
        incidents.close(row)  # last: whoever is stopped before it finds the incident here again


def _read_written(rows: Iterable[Incident]) -> Iterable[str]:
    pks = [row.pk for row in rows]
    return Notice.objects.filter(incident__in=pks).values_list("once", flat=True) if pks else ()


def _opened(row: Incident, channel: str) -> str:
    return f"opened {row.pk} {channel}"


def write(once: str, channel: str, message: Message, now: datetime, *, incident: UUID | None = None) -> None:
    """Write a message to be sent; one that is there already stays."""
    fields = {"title": message.title[:200], "body": message.body, "link": message.link}
    try:
        with transaction.atomic():
            Notice.objects.create(once=once, channel=channel, incident=incident, due_at=now, created_at=now, **fields)
    except IntegrityError:
        return


def prune(before: datetime) -> None:
    """Delete incidents that were over before then and what was told of them, and digests from before then.

    The messages go first, so that a crash leaves none whose incident nobody knows. Those of an incident that goes on
    stay: without them it would be told anew.
    """
    past = incidents.find_past(before, limit=_FORGET)
    Notice.objects.filter(incident__in=past).delete()
    incidents.forget(past)
    digests = Notice.objects.filter(incident=None, created_at__lt=before)
    Notice.objects.filter(pk__in=list(digests.values_list("pk", flat=True)[:_FORGET])).delete()


def deliver(now: datetime) -> None:
    """Send what is due; a channel that fails is left alone until the next look, and holds up no other."""
    due = Notice.objects.filter(state=NoticeState.WAITING, due_at__lte=now).order_by("due_at")
    channels = find_channels()
    for row in due.exclude(channel__in=[channel.name for channel in channels])[:_AT_ONCE]:
        _drop(row, "the channel is no longer set up")
    for channel in channels:
        _deliver_by(channel, list(due.filter(channel=channel.name)[:_AT_ONCE]), now)


def _deliver_by(channel: Channel, rows: Iterable[Notice], now: datetime) -> None:
    for row in rows:
        if now - row.created_at > _GIVE_UP:
            _drop(row, "not sent within a day")
        elif _take_turn(row, now) and not _send(row, channel, now):
            return


def _take_turn(row: Notice, now: datetime) -> bool:
    due_at = now + timedelta(seconds=min(_FIRST_S * 2.0 ** min(row.tries, 10), _LONGEST_S))
    mine = Notice.objects.filter(pk=row.pk, state=NoticeState.WAITING, tries=row.tries)
    return mine.update(tries=row.tries + 1, due_at=due_at) == 1


def _send(row: Notice, channel: Channel, now: datetime) -> bool:
    """Send a message and note how that went; say whether it did."""
    mine = Notice.objects.filter(pk=row.pk)
    try:
        channel.send(Message(title=row.title, body=row.body, link=row.link))
    except NotSentError as error:
        mine.update(problem=str(error)[:200])
        log.warning("alerts.not.sent", extra={"channel": channel.name, "tries": row.tries + 1, "cause": str(error)})
        return False
    mine.update(state=NoticeState.SENT, sent_at=now, problem="")
    return True


def _drop(row: Notice, problem: str) -> None:
    Notice.objects.filter(pk=row.pk, state=NoticeState.WAITING).update(
        state=NoticeState.DROPPED, problem=f"{problem}; {row.problem}"[:200] if row.problem else problem
    )
    log.error("alerts.dropped", extra={"channel": row.channel, "notice": row.once})
