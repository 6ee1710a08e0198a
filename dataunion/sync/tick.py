"""The clock's work, every few seconds: take back dead workers' work, then nudge where work is due.

One worker at a time does it (a row lease), so that two beats, or one that stutters, are harmless.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from dataunion import backfill, claims, gate, policies, reconcile, retries, roster, stats
from dataunion.alerts import notices
from dataunion.alerts.look import look
from dataunion.alerts.readings import read_ran_at
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import NEVER, Partner, SyncAttempt, SyncJob, TaskLease, has_ended
from dataunion.state import PartnerState
from dataunion.sync.decisions import describe_bug
from dataunion.sync.dispatch import nudge

log = logging.getLogger(__name__)
_NUDGES = 4  # at most so many at once for one partner: each works until nothing is due
_PRUNE = 10_000
_RESCUE = 500
_ALERTS_LATE = timedelta(seconds=90)


@contextmanager
def hold(name: str, seconds: float) -> Iterator[datetime | None]:
    """Hold a periodic task's lease: the database's time, or None while another worker holds it."""
    now, token = db_now(), secrets.token_hex(16)
    _make_lease(name)
    mine = TaskLease.objects.filter(name=name, token=token)
    until = now + timedelta(seconds=seconds)
    free = TaskLease.objects.filter(has_ended("until", now, lasts_s=seconds), name=name)
    if not free.update(token=token, until=until):
        yield None
        return
    try:
        yield now
    finally:
        mine.update(until=NEVER, ran_at=now)


def _make_lease(name: str) -> None:
    if not TaskLease.objects.filter(name=name).exists():
        try:
            with transaction.atomic():
                TaskLease.objects.create(name=name)
        except IntegrityError:
            return


def tick() -> None:
    """Rescue, fold the counters, take backfills further, nudge, take retry runs further and nudge for what is due."""
    with hold("tick", conf().sync_lease_s) as now:
        if now is None:
            return
        _do("clock", lambda: _realign(now))
        _do("rescue", lambda: _rescue(now))
        _do("fold", stats.fold)
        _do("backfills", lambda: backfill.advance_all(now))
        _do("nudges", lambda: nudge_due(now))
        _do("retry runs", lambda: _advance_runs(now))


def _do(part: str, work: Callable[[], object]) -> None:
    """Do one part of a periodic task; its failure must not keep the others from being done."""
    try:
        work()
    except Exception as error:
        log.error("tick.failed", extra={"part": part, **describe_bug(error)})


def _advance_runs(now: datetime) -> None:
    """Take retry runs further, which may last, and nudge for what they made due."""
    if retries.advance_all(now):
        nudge_due(db_now())


def _realign(now: datetime) -> None:
    """Let no work wait for a time that was set by a clock which has gone back since."""
    ahead = claims.realign(now)
    if ahead:
        gate.realign(ahead, now)
        log.error("clock.went.back", extra={"seconds": round(ahead.total_seconds())})


def _rescue(now: datetime) -> None:
    try:
        rescued = claims.rescue(now)
    except Exception as error:
        log.error("tick.failed", extra={"part": "rescue", **describe_bug(error)})
        rescued = _rescue_each(now)
    for job in rescued:
        log.warning("sync.job.rescued", extra={"partner": job.partner, "job": str(job.pk), "crashes": job.crashes})


def _rescue_each(now: datetime) -> list[SyncJob]:
    """Rescue one after the other: a row that cannot be published must not hold up the others."""
    rescued: list[SyncJob] = []
    for job in SyncJob.objects.expired(now, limit=_RESCUE):
        try:
            rescued += claims.take_back([job], now)
        except Exception:
            log.error("sync.job.unpublished", extra={"partner": job.partner, "job": str(job.pk)})
    return rescued


def nudge_due(now: datetime) -> None:
    """Nudge each active partner as often as its due work and its limits want."""
    for row in roster.find_active():
        if row.state != PartnerState.ON or row.wants_peace(now):
            continue
        claims.unblock(row.name, now)
        due = SyncJob.objects.due(row.name, now)[: _NUDGES * conf().sync_chunk].count()
        wanted = -(-due // conf().sync_chunk)
        if wanted:
            nudge([(row.name, roster.queue(row))], times=min(wanted, _NUDGES))


def nudge_partners(names: set[str] | None = None) -> None:
    """Nudge these partners (or all that are on) once; whoever made work due calls it."""
    rows: list[Partner] = [row for row in roster.find_active() if row.state == PartnerState.ON]
    nudge((row.name, roster.queue(row)) for row in rows if names is None or row.name in names)


def upkeep() -> None:
    """Do what may wait for minutes: statistics, alerts, policies' retries, pruning, a slice of the audit."""
    with hold("upkeep", 300.0) as now:
        if now is None:
            return
        _do("statistics", lambda: stats.roll_up(now))
        _do("alerts", alert)
        _do("retry policies", lambda: policies.fire_due(now))
        _do("pruning", lambda: _prune(now))
        _do("audit", lambda: reconcile.audit(now))


def alert() -> None:
    """Look for what staff must know, and tell them."""
    with hold("alerts", 300.0) as now:
        if now is not None:
            look(now)


def alert_if_late() -> None:
    """Look for what staff must know where upkeep does not: no beat, no broker, no worker for the clock's work."""
    ran_at = read_ran_at("alerts")
    if ran_at is None or abs(db_now() - ran_at) > _ALERTS_LATE:
        alert()


def _prune(now: datetime) -> None:
    before = now - timedelta(days=conf().attempts_keep_days)
    notices.prune(before)
    old = SyncAttempt.objects.filter(created_at__lt=before)
    pks = list(old.order_by("created_at").values_list("pk", flat=True)[:_PRUNE])
    SyncAttempt.objects.filter(pk__in=pks).delete()
