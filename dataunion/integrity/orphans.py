"""Jobs and data whose record never appeared: what an ingest that died, or was too slow, left behind.

Data without a record is somebody's health data that nobody answers for, so that each row is surely looked at: a walk
takes every row once soon after the time of grace, and a second one goes round and round.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Model

from dataunion import claims
from dataunion.conf import conf
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import PAYLOADS, DataUnion, Payload, SyncJob

FIRST = UUID(int=0)
_BACK = timedelta(days=1)  # how far back the first walk begins
MODELS: tuple[type[Model], ...] = (SyncJob, *PAYLOADS.values())


def check_on(found: Findings, cursors: MutableMapping[str, str], limit: int) -> None:
    """Take both walks of jobs and data one page further; `cursors` says where they stand."""
    for model in MODELS:
        table = model._meta.db_table
        since = UUID(int=int((found.now - _BACK).timestamp() * 1000) << 80)  # keys are ordered by time
        for name, begin in ((table, since), (f"{table} again", FIRST)):
            rows = read_page(model, UUID(cursors.get(name) or str(begin)), limit)
            check_orphans(found, model, rows)
            passed = _passed(rows, found.now)
            is_round = len(passed) < limit and begin == FIRST
            cursors[name] = str(FIRST if is_round else passed[-1].pk if passed else cursors.get(name) or begin)


def read_page(model: type[Model], after: UUID, limit: int) -> list[Any]:
    """Return the rows after a key, in its order, without what is sealed in them."""
    columns = ("pk", "created_at", *(("record_id", "fence", "data_type", "lease_until") if model is SyncJob else ()))
    return list(model._default_manager.filter(pk__gt=after).order_by("pk").only(*columns)[:limit])


def _passed(rows: Sequence[Any], now: datetime) -> list[Any]:
    """Return the rows before the first one that is still young; a time far ahead is a wrong clock's, and no youth."""
    grace = _grace()
    young = (n for n, row in enumerate(rows) if now - grace <= row.created_at <= now + grace)
    return list(rows[: next(young, len(rows))])


def _grace() -> timedelta:
    return timedelta(seconds=conf().sync_orphan_s)


def check_orphans(found: Findings, model: type[Model], rows: Iterable[Any]) -> None:
    """Delete those of these jobs, or of these rows of data, that are old enough and have no record."""
    old = [row for row in rows if row.created_at < found.now - _grace()]
    found.looked_at[model._meta.db_table] += len(old)
    ids = {row.record_id if isinstance(row, SyncJob) else row.pk for row in old}
    there = set(DataUnion.objects.filter(pk__in=ids).values_list("pk", flat=True))
    for row in old:
        if isinstance(row, SyncJob) and row.record_id not in there:
            repair = partial(_drop_job, row, found.now)
            found.mend(Kind.ORPHAN_JOB, repair, job=row.pk, record=row.record_id, partner=row.partner)
        elif isinstance(row, Payload) and row.pk not in there:
            found.mend(Kind.ORPHAN_DATA, partial(_drop_data, type(row), row.pk), record=row.pk)


def _drop_job(job: SyncJob, now: datetime) -> bool:
    if DataUnion.objects.filter(pk=job.record_id).exists():
        return False
    same = SyncJob.objects.filter(pk=job.pk, fence=job.fence, lease_until__lt=now)
    if same.exists():
        claims.forget_attempts(job)
    return bool(same.delete()[0])


def _drop_data(model: type[Payload], pk: UUID) -> bool:
    """Delete the data; put it back if its record has come after all, from an ingest that hung for all that time."""
    row = model._default_manager.filter(pk=pk).first()
    if row is None or DataUnion.objects.filter(pk=pk).exists():
        return False
    model._default_manager.filter(pk=pk).delete()
    if DataUnion.objects.filter(pk=pk).exists():
        row.save(force_insert=True)
        return False
    return True
