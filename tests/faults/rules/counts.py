"""I6: what the statistics say is what a recount finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dataunion.models import HourStat, SyncAttempt
from dataunion.state import FAILING, PartnerState, Status
from dataunion.stats import PartnerTotals, Totals
from tests.faults.rules.world import World
from tests.faults.violation import Violation

Hour = tuple[datetime, str, str, str, str]


def check_totals(world: World, told: Totals) -> Iterator[Violation]:
    """Compare the totals, read together with the world, with its rows."""
    if told.records != len(world.records):
        yield Violation("I6", f"{told.records} records are told of, there are {len(world.records)}")
    active = {name for name, row in world.partners.items() if row.state != PartnerState.OFF}
    for name in sorted(active | told.partners.keys()):
        found, said = _recount(world, name), told.partners.get(name)
        if said != found:
            yield Violation("I6", f"{name}: the statistics say {said}, a recount {found}")


def _recount(world: World, name: str) -> PartnerTotals:
    """Count by entries and jobs. A job on its way in or out of a record counts as its totals do."""
    sides = [side for side in world.sides.values() if side.partner.name == name]
    open_jobs = [side.job for side in sides if side.job and side.job.status != Status.DONE]
    early = sum(job.partner == name for job in world.strays)  # their records come, or they are dropped in 10 minutes
    failed = sum(job.status in FAILING for job in open_jobs)
    pending = len(open_jobs) - failed + early
    return PartnerTotals(
        enrolled=len(sides), synced=max(0, len(sides) - failed - pending), failed=failed, pending=pending
    )


def check_hours() -> Iterator[Violation]:
    """Compare the hours that were rolled up with their attempts; the newest may lack what came since."""
    told: dict[Hour, int] = {}
    for row in HourStat.objects.all():
        told[row.hour, row.partner, row.data_type, row.outcome, row.error_class] = row.count
        if sum(row.durations.values()) != row.count:
            yield Violation("I6", f"{row.partner} {row.hour:%H}h {row.outcome}: durations do not add up to its count")
    if not told:
        return
    newest = max(hour for hour, *_ in told)
    found = _count_attempts(min(hour for hour, *_ in told), newest)
    for key in sorted(told.keys() | found.keys(), key=str):
        said, real = told.get(key, 0), found[key]
        if said > real or (said < real and key[0] < newest):
            name = " ".join(key[1:]).strip()
            yield Violation("I6", f"{name} at {key[0]:%H}h: {said} attempts are told of, there are {real}")


def _count_attempts(first: datetime, last: datetime) -> Counter[Hour]:
    names = ("created_at", "partner", "data_type", "outcome", "error_class")
    rows: Any = SyncAttempt.objects.filter(created_at__gte=first).values_list(*names)
    hours = ((at.replace(minute=0, second=0, microsecond=0), *rest) for at, *rest in rows)
    return Counter(key for key in hours if key[0] <= last)
