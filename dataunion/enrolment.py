"""Enrolling a partner in records that came in without it: a job in hand, then the entry, then the job is let go.

Nobody can claim the job before the entry stands. What a crash leaves is finished by doing the same again, or by the
audit. The entry bears the backfill's mark, by which statistics tell it from those that came in with the record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from dataunion.conf import conf
from dataunion.models import NEVER, Backfill, DataUnion, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.models.job import SyncJobQuerySet
from dataunion.publication import insert_missing
from dataunion.state import BULK, PartnerEntry, Status
from partners.base import PUSH

_FENCE = 1


def is_lacking(record: DataUnion, partner: str) -> bool:
    """Say whether a partner is missing in a record; one that was taken back anywhere is for nobody new."""
    return partner not in record.partners and not any(entry.get("withdrawn_at") for entry in record.partners.values())


def enrol(records: Sequence[DataUnion], run: Backfill, now: datetime) -> None:
    """Give each of these records an entry and a job of this backfill's partner, if it has none.

    What an earlier call began and did not finish is finished too.
    """
    _make_jobs(_without_revoke(records), run, now)
    begun = list(_in_hand(run).values_list("record_id", flat=True))
    entry = PartnerEntry(fence=_FENCE, backfill=str(run.pk))
    without = DataUnion.objects.filter(pk__in=begun, **{f"partners__{run.partner}__isnull": True})
    without.update(partners=MergeEntry(run.partner, entry.dump()), updated_at=now)
    _let_go(begun, run, now)


def enter(job: SyncJob, now: datetime) -> bool:
    """Enter the partner that the job is for, if nobody has."""
    of_backfill = job.run is not None and Backfill.objects.filter(pk=job.run).exists()
    entry = PartnerEntry(
        error_message=job.error_message or None,
        fence=job.fence,
        attempts=job.runs,
        backfill=str(job.run) if of_backfill else None,
    )
    without = DataUnion.objects.filter(pk=job.record_id, **{f"partners__{job.partner}__isnull": True})
    return without.update(partners=MergeEntry(job.partner, entry.dump()), updated_at=now) == 1


def _without_revoke(records: Sequence[DataUnion]) -> list[DataUnion]:
    """Leave out what is being taken back somewhere."""
    revoked = SyncJob.objects.filter(record_id__in=[record.pk for record in records]).exclude(kind=PUSH)
    leaving = set(revoked.values_list("record_id", flat=True))
    return [record for record in records if record.pk not in leaving]


def _make_jobs(records: Sequence[DataUnion], run: Backfill, now: datetime) -> None:
    pks = [record.pk for record in records]
    there = set(SyncJob.objects.filter(record_id__in=pks, partner=run.partner).values_list("record_id", flat=True))
    jobs = [_make_job(record, run, now) for record in records if record.pk not in there]
    try:
        with transaction.atomic():
            SyncJob.objects.bulk_create(jobs)
    except IntegrityError:  # another worker was faster with one of them
        insert_missing(jobs)


def _make_job(record: DataUnion, run: Backfill, now: datetime) -> SyncJob:
    return SyncJob(
        record_id=record.pk,
        partner=run.partner,
        user_hash=record.user_hash,
        data_type=record.data_type,
        priority=BULK,
        trigger=f"backfill by {run.asked_by}"[:100],
        run=run.pk,
        fence=_FENCE,
        due_at=now,
        created_at=now,
        changed_at=now,
        lease_until=now + timedelta(seconds=conf().sync_lease_s),
    )


def _in_hand(run: Backfill) -> SyncJobQuerySet:
    held = SyncJob.objects.filter(run=run.pk, status=Status.PENDING, partner=run.partner, fence=_FENCE)
    return held.filter(lease_until__gt=NEVER, outcome__isnull=True)


def _let_go(record_ids: Collection[UUID], run: Backfill, now: datetime) -> None:
    """Let the jobs be claimed; delete those of entries that are finished, which a worker made who was very slow."""
    ready: list[UUID] = []
    finished: list[UUID] = []
    for record in DataUnion.objects.filter(pk__in=record_ids):
        entry = record.entry(run.partner)
        is_ready = entry.fence <= _FENCE and not entry.is_synced and not entry.withdrawn_at
        (ready if is_ready else finished).append(record.pk)
    _in_hand(run).filter(record_id__in=ready).update(lease_token="", lease_until=NEVER, due_at=now)
    _in_hand(run).filter(record_id__in=finished).delete()
