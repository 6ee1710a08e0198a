"""The daily digest: how each partner did in the last day, and which incidents there were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.urls import reverse

from dataunion import roster
from dataunion.alerts import notices
from dataunion.alerts.channels import find_channels
from dataunion.alerts.messages import Message, title_of
from dataunion.alerts.readings import read_attempts
from dataunion.models import Incident, Notice
from dataunion.state import IncidentState
from dataunion.stats import Queue, read_queues

_DAY = timedelta(days=1)


def write_if_time(now: datetime) -> None:
    """Write today's digest for each channel, once, from the chosen hour (UTC) on."""
    hour, today = settings.ALERT_DIGEST_HOUR, now.astimezone(UTC)
    if hour is None or today.hour < hour:
        return
    wanted = {f"digest {today:%Y-%m-%d} {channel.name}": channel.name for channel in find_channels()}
    there = set(Notice.objects.filter(once__in=list(wanted)).values_list("once", flat=True)) if wanted else set()
    missing = {once: channel for once, channel in wanted.items() if once not in there}
    if missing:
        message = compose(now)
        for once, channel in missing.items():
            notices.write(once, channel, message, now)


def compose(now: datetime) -> Message:
    """Return the digest of the day before `now`."""
    open_ = Incident.objects.filter(state=IncidentState.OPEN).order_by("opened_at")
    lines = [*_say_partners(now), ""]
    lines += [f"Open since {row.opened_at:%Y-%m-%d %H:%M} UTC: {title_of(row.rule, row.subject)}" for row in open_]
    if not open_:
        lines.append("No alert is open.")
    return Message(
        title=f"Digest of {now:%Y-%m-%d}", body="\n".join(lines), link=settings.BASE_URL + reverse("admin:index")
    )


def _say_partners(now: datetime) -> list[str]:
    """Return a line for each partner; the day is made of whole hours."""
    hours, queues = read_attempts(now - _DAY), read_queues(now)
    lines = []
    for row in roster.find_active():
        counts = [attempts for (name, _), attempts in hours.items() if name == row.name]
        synced, failed = sum(one.synced for one in counts), sum(one.failed for one in counts)
        queue = queues.get(row.name, Queue())
        said = f"{row.name} ({row.state}): in 24 hours {synced:,} synced and {failed:,} attempts failed"
        lines.append(f"{said}; now {queue.waiting:,} on the way and {queue.failed:,} failed.")
    return lines
