"""One look at everything. Run under a lease; whoever looks a second time does no second thing."""

from __future__ import annotations

from datetime import datetime, timedelta

from dataunion.alerts import digest, incidents, notices, readings, rules
from dataunion.conf import conf


def look(now: datetime) -> None:
    """Judge, note what begins and what is over, and send what is to be told."""
    limits = conf()
    verdicts = rules.judge(readings.read(now), limits)
    incidents.note(verdicts, now, calm=timedelta(minutes=limits.alert_calm_minutes))
    notices.announce(now)
    digest.write_if_time(now)
    notices.deliver(now)
