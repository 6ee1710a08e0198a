"""Leases and times: what nobody took back, what nobody holds, and what a clock that ran ahead has set too far."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.db.models import QuerySet

from dataunion import claims, roster
from dataunion.conf import conf
from dataunion.integrity.findings import Findings, Kind
from dataunion.integrity.jobs import confirm
from dataunion.models import NEVER, Partner, Signer, SyncJob, TaskLease
from dataunion.publication import publish
from dataunion.state import BULK, CLAIMABLE, LIVE, Status

_LIMIT = 500
_GATE = timedelta(minutes=1)  # much longer than a gate is held
_TASK = timedelta(hours=1)  # than a periodic task's lease lasts
_SLACK = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(days=1)


def check_leases(found: Findings) -> None:
    """Look at what is held for longer than can be, or by somebody who is gone."""
    for job in SyncJob.objects.expired(found.now, limit=_LIMIT):
        _check_expired(found, job)
    too_long = Signer.objects.filter(lease_until__gt=found.now + timedelta(seconds=2 * conf().sync_lease_s))
    for pk in too_long.values_list("pk", flat=True):
        found.mend(Kind.LONG_LEASE, partial(too_long.filter(pk=pk).update, lease_until=NEVER), signer=pk)


def _check_expired(found: Findings, job: SyncJob) -> None:
    facts = {"job": job.pk, "record": job.record_id, "partner": job.partner}
    found.looked_at["leases"] += 1
    if job.status == Status.RUNNING:
        found.mend(Kind.ABANDONED, lambda: claims.take_back([job], found.now), **facts)
    elif job.outcome is not None:
        found.mend(Kind.PUBLICATION, partial(_publish, job, found), **facts)
    else:
        found.mend(Kind.HELD, partial(confirm, job, found.now), **facts)


def _publish(job: SyncJob, found: Findings) -> bool:
    publish([job], found.now)
    return True


# --- times


def check_times(found: Findings) -> None:
    """Bring back what would have to wait longer than anything is made to wait."""
    for row in roster.find_partners():
        found.looked_at["partners"] += 1
        _check_partner(found, row)
        longest = max(_LONGEST_WAIT, timedelta(seconds=row.backoff_cap_s))
        for status in (*CLAIMABLE, Status.BLOCKED):
            for priority in (LIVE, BULK):
                jobs = SyncJob.objects.filter(partner=row.name, status=status, priority=priority)
                _bring_back(found, jobs.filter(due_at__gt=found.now + longest))
    far = TaskLease.objects.filter(until__gt=found.now + _TASK)
    for name in far.values_list("name", flat=True):
        found.mend(Kind.LONG_LEASE, partial(far.filter(name=name).update, token="", until=NEVER), task=name)


def _bring_back(found: Findings, far: QuerySet[SyncJob]) -> None:
    for pk in far.values_list("pk", flat=True)[:_LIMIT]:
        due = partial(far.filter(pk=pk).update, due_at=found.now, waiting_since=None)
        found.mend(Kind.FAR_TIME, due, job=pk)


def _check_partner(found: Findings, row: Partner) -> None:
    same, now = Partner.objects.filter(pk=row.pk), found.now
    if row.gate_until > now + _GATE:
        gate = same.filter(gate_token=row.gate_token, gate_until__gt=now + _GATE)
        found.mend(Kind.LONG_LEASE, partial(gate.update, gate_token="", gate_until=NEVER), partner=row.name)
    peace = now + _SLACK + timedelta(seconds=conf().sync_retry_after_cap_s)
    if row.not_before > peace:
        # A partner that still wants peace says so again.
        calm = same.filter(not_before__gt=peace)
        found.mend(Kind.FAR_TIME, partial(calm.update, not_before=NEVER), partner=row.name)
