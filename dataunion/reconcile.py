"""The audit: what a crash between two writes, a bug or a hand in the database left half done is found and mended.

Not the repair path of what happens every day: the tick and the next attempt see to that. How much is looked at, and
when, is said here; what is looked for, in dataunion.integrity. Every repair is one conditional write, or can be done
again from the start, so that audits may run beside live work, beside each other, and be killed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from dataunion.clock import db_now
from dataunion.integrity import counters, hours, memory, orphans
from dataunion.integrity.findings import Findings
from dataunion.integrity.history import check_history
from dataunion.integrity.leases import check_leases, check_times
from dataunion.integrity.records import check_records, check_unheld
from dataunion.models import DataUnion

_SLICE = 500
_PAGES = 4  # of keys, which are small, for each of records
_YOUNG = timedelta(minutes=2)  # younger records may still be on their way in
_random = Random()


def audit(now: datetime, *, limit: int = _SLICE, random: Random = _random) -> int:
    """Look at a bounded part, as the clock does every minute; return how many repairs it took."""
    return audit_slice(now, limit=limit, random=random).repaired.total()


def audit_slice(now: datetime, *, limit: int = _SLICE, random: Random = _random, dry: bool = False) -> Findings:
    """Look at every lease, the newest records and a slice from anywhere, and go on with walks and recount."""
    found = Findings(now, dry)
    state = memory.read()
    _audit_held(found)
    records = _choose(now, limit, random)
    check_records(found, records)
    check_history(found, records)
    orphans.check_on(found, state.cursors, _PAGES * limit)
    recount = state.recount or counters.begin()
    state.recount = counters.go_on(found, recount, _PAGES * limit) or {} if recount else {}
    for hour in hours.choose_hours(now, random):
        hours.check_hour(found, hour)
    if not dry:
        memory.store(found, state)
    return found


def _audit_held(found: Findings) -> None:
    check_leases(found)
    check_unheld(found)
    check_times(found)


def _choose(now: datetime, limit: int, random: Random) -> list[DataUnion]:
    old_enough = DataUnion.objects.filter(created_at__lt=now - _YOUNG)
    newest = list(old_enough.order_by("-created_at")[:limit])
    oldest = DataUnion.objects.order_by("created_at").first()
    if oldest is None:
        return []
    anywhere = oldest.created_at + random.random() * (now - oldest.created_at)
    elsewhere = old_enough.filter(created_at__gte=anywhere).order_by("created_at")[:limit]
    return list({record.pk: record for record in [*newest, *elsewhere]}.values())


def audit_records(records: list[DataUnion], now: datetime) -> int:
    """Mend these records where they need it; return how many repairs it took."""
    found = Findings(now)
    check_records(found, records)
    check_history(found, records)
    return found.repaired.total()


def audit_everything(*, dry: bool = False, limit: int = _SLICE, tell: Callable[[Findings], None]) -> Findings:
    """Walk through every row, page by page; `tell` is called after each page."""
    found = Findings(db_now(), dry)
    _audit_held(found)
    for model in orphans.MODELS:
        after = orphans.FIRST
        while rows := orphans.read_page(model, after, limit):
            after, found.now = rows[-1].pk, db_now()
            orphans.check_orphans(found, model, rows)
            tell(found)
    _audit_all_records(found, limit, tell)
    recount = counters.begin()
    while recount:
        recount = counters.go_on(found, recount, limit)
        tell(found)
    for hour in hours.all_hours():
        hours.check_hour(found, hour)
        tell(found)
    if not dry:
        memory.store(found)
    return found


def _audit_all_records(found: Findings, limit: int, tell: Callable[[Findings], None]) -> None:
    after = orphans.FIRST
    while records := list(DataUnion.objects.filter(pk__gt=after).order_by("pk")[:limit]):
        after, found.now = records[-1].pk, db_now()
        check_records(found, records)
        check_history(found, records)
        tell(found)
