"""Backfills: a partner that was switched on gets the older records as well, at a pace, page by page.

Each page is declared, enrolled, counted and closed; whoever finds one that a crash left open does it again from the
start. A record may come in without the partner a little after it was switched on, by a request that read the partners
before: the walk goes on to somewhat after it was asked for, and keeps its distance from the present.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from dataunion import enrolment, roster, stats
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import Backfill, DataUnion, Partner
from dataunion.publication import in_one_transaction
from dataunion.state import OPEN_RUN, DataType, PartnerState, RunState

SLOWEST, FASTEST, USUAL = 1, 6000, 600  # records a minute
_PAGE = 500  # records looked at
_ENROLLED = 200  # of a page, at most
_PAGES = 10
_AT_ONCE = 1000
_CREDIT = timedelta(minutes=1)
_LONGEST_S = 10.0  # of a tick, for all backfills
_SETTLED = timedelta(minutes=2)  # what is younger may still be on its way in
_LATE = timedelta(seconds=30)  # between reading the partners and making a record's key


def count_lacking(row: Partner) -> int:
    """Return about how many records this partner would get, from the counters alone."""
    added = stats.read_added()
    enrolled: dict[str, dict[str, int]] = added["enrolled"]
    records: int = added["records"]
    own = enrolled.get(row.name, {})
    if not row.data_types:
        return max(0, records - sum(own.values()))
    # Records are not counted by type, enrolments are: the partner that has most of a type tells how many there are.
    most = {kind: max([types.get(kind, 0) for types in enrolled.values()], default=0) for kind in DataType}
    return sum(max(0, most[kind] - own.get(kind, 0)) for kind in DataType if kind in row.data_types)


def find_open(partner: str) -> Backfill | None:
    """Return the partner's backfill that is under way or paused."""
    return Backfill.objects.filter(open_for=partner).first()


def start(row: Partner, *, per_minute: int, by: str) -> tuple[Backfill, bool]:
    """Start a backfill, or find the one that is open; say whether it was started. The tick takes it further."""
    now = db_now()
    about = count_lacking(row)
    run = Backfill(
        partner=row.name,
        open_for=row.name,
        asked_by=by,
        about=about,
        per_minute=min(max(per_minute, SLOWEST), FASTEST),
        until=first_key(now + _LATE),
        paced_at=now,
        created_at=now,
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        return Backfill.objects.get(open_for=row.name), False
    return run, True


def pause(run: Backfill) -> bool:
    """Enrol no more until it is resumed; what is enrolled goes on. Say whether it was running."""
    paused = Backfill.objects.filter(pk=run.pk, state=RunState.RUNNING).update(state=RunState.PAUSED) == 1
    run.refresh_from_db()
    return paused


def resume(run: Backfill, *, per_minute: int | None = None) -> bool:
    """Go on, at another pace if one is given; say whether it was open."""
    changes = {"per_minute": min(max(per_minute, SLOWEST), FASTEST)} if per_minute else {}
    still = Backfill.objects.filter(pk=run.pk, state__in=OPEN_RUN)
    resumed = still.update(state=RunState.RUNNING, paced_at=db_now(), **changes) == 1
    run.refresh_from_db()
    return resumed


def cancel(run: Backfill) -> bool:
    """End it before its time; what it has enrolled stays so. Say whether it was open."""
    still = Backfill.objects.filter(pk=run.pk, state__in=OPEN_RUN)
    cancelled = still.update(state=RunState.CANCELLED, finished_at=db_now()) == 1
    run.refresh_from_db()
    if run.state == RunState.CANCELLED and run.page == run.cursor:
        _let_go(run)
    return cancelled


def _let_go(run: Backfill) -> None:
    """Make room for another backfill, once no page is in work."""
    closed = Backfill.objects.filter(pk=run.pk, state=RunState.CANCELLED, cursor=run.cursor, page=run.cursor)
    closed.update(open_for=None)


def advance_all(now: datetime) -> None:
    """Take every open backfill further."""
    began = time.monotonic()
    for run in Backfill.objects.filter(open_for__isnull=False).order_by("paced_at"):
        if time.monotonic() - began < _LONGEST_S:
            advance(run, now)


def advance(run: Backfill, now: datetime) -> None:
    """Enrol as many records as the pace allows by now, and end the walk where it is over."""
    if run.state == RunState.CANCELLED:
        _close(run, now)
        return
    row = roster.get_partner(run.partner)
    left = _allowed(run, now)
    for _ in range(_PAGES):
        if run.state != RunState.RUNNING or row.state == PartnerState.OFF or left < 1:
            return
        page = _read_page(run, now)
        if not page:
            _finish(run, now)
            return
        end, lacking = _choose(run, row, page, left)
        left -= len(lacking)
        if not _work(run, end, lacking, now):
            return


def _allowed(run: Backfill, now: datetime) -> int:
    """Return how many records may be enrolled now; what was not used in a minute is gone."""
    unused = now - run.paced_at
    if unused < -2 * _CREDIT:  # a clock that ran ahead
        unused = _CREDIT
    return min(_AT_ONCE, int(min(unused, _CREDIT).total_seconds() * run.per_minute / 60))


def _read_page(run: Backfill, now: datetime) -> list[DataUnion]:
    """Return the records of the page in work, else those that come next."""
    records = DataUnion.objects.filter(pk__gt=run.cursor).order_by("pk")
    if run.page != run.cursor:
        return list(records.filter(pk__lte=run.page))
    return list(records.filter(pk__lte=min(run.until, first_key(now - _SETTLED)))[:_PAGE])


def _choose(run: Backfill, row: Partner, page: Sequence[DataUnion], left: int) -> tuple[UUID, list[DataUnion]]:
    """Return where the page ends and which of its records are to be enrolled."""
    lacking = [record for record in page if row.takes(record.data_type) and enrolment.is_lacking(record, row.name)]
    if run.page != run.cursor:
        return run.page, lacking
    at_most = min(_ENROLLED, left)
    beyond = lacking[at_most:]
    end = page[-1].pk if not beyond else max(record.pk for record in page if record.pk < beyond[0].pk)
    return end, lacking[:at_most]


def _work(run: Backfill, end: UUID, lacking: Sequence[DataUnion], now: datetime) -> bool:
    """Enrol one page and count it; say whether the walk was still where it was."""
    with in_one_transaction():
        same = Backfill.objects.filter(pk=run.pk, cursor=run.cursor)
        if not same.filter(state=run.state, page=run.page).update(page=end):
            return False
        enrolment.enrol(lacking, run, now)
        records = list(_between(run.cursor, end))
        enrolled = Counter(run.enrolled) + stats.count_later(run, records)
        used = timedelta(seconds=60 * len(lacking) / run.per_minute)
        same.filter(page=end).update(
            cursor=end,
            enrolled=dict(enrolled),
            looked_at=F("looked_at") + len(records),
            paced_at=min(now + _CREDIT, max(run.paced_at, now - _CREDIT) + used),
        )
    run.refresh_from_db()
    return run.cursor == end


def _between(after: UUID, until: UUID) -> Sequence[tuple[str, dict[str, object]]]:
    rows = DataUnion.objects.filter(pk__gt=after, pk__lte=until)
    return list(rows.values_list("data_type", "partners"))


def _finish(run: Backfill, now: datetime) -> None:
    if first_key(now - _SETTLED) < run.until:
        return
    over = Backfill.objects.filter(pk=run.pk, state=RunState.RUNNING, cursor=run.cursor, page=run.cursor)
    over.update(state=RunState.DONE, finished_at=now, open_for=None)
    run.refresh_from_db()


def _close(run: Backfill, now: datetime) -> None:
    """Close the page that a worker left when the run was cancelled: finish what was begun, and count it."""
    is_left = run.finished_at is not None and now > run.finished_at + timedelta(seconds=2 * conf().sync_lease_s)
    if run.page != run.cursor and is_left:
        _work(run, run.page, [], now)
    if run.page == run.cursor:
        _let_go(run)


def first_key(at: datetime) -> UUID:
    """Return a key before those of all records that are made from this time on."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
