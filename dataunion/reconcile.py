"""The audit: for each record and partner exactly one of "synced, no job", "not synced, one job", "withdrawn" holds.

Not the repair path of anything: it finds what a bug or a hand in the database broke, mends it and counts it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from random import Random

from django.db import IntegrityError, transaction

from dataunion import roster, vault
from dataunion.models import DataUnion, SyncJob
from dataunion.publication import publish, write_entry
from dataunion.state import PartnerEntry, Status

log = logging.getLogger(__name__)
_SLICE = 500
_random = Random()
_YOUNG = timedelta(minutes=2)  # younger records may still be on their way in
_SAFE = timedelta(minutes=1)


def audit(now: datetime, *, limit: int = _SLICE, random: Random = _random) -> int:
    """Look at the newest records and at a slice from anywhere; return how many repairs it took."""
    old_enough = DataUnion.objects.filter(created_at__lt=now - _YOUNG)
    newest = list(old_enough.order_by("-created_at")[:limit])
    oldest = DataUnion.objects.order_by("created_at").first()
    if oldest is None:
        return 0
    anywhere = oldest.created_at + random.random() * (now - oldest.created_at)
    elsewhere = old_enough.filter(created_at__gte=anywhere).order_by("created_at")[:limit]
    return audit_records(list({record.pk: record for record in [*newest, *elsewhere]}.values()), now)


def audit_records(records: list[DataUnion], now: datetime) -> int:
    """Mend these records where they need it; return how many repairs it took."""
    jobs = {(j.record_id, j.partner): j for j in SyncJob.objects.filter(record_id__in=[r.pk for r in records])}
    known = {row.name for row in roster.find_partners()}
    repairs = 0
    for record in records:
        for partner in set(record.partners) & known:
            repair = _mend(record, partner, jobs.get((record.pk, partner)), now)
            if repair:
                repairs += 1
                log.error("audit.repaired", extra={"record": str(record.pk), "partner": partner, "repair": repair})
    return repairs


def _mend(record: DataUnion, partner: str, job: SyncJob | None, now: datetime) -> str | None:
    entry = record.entry(partner)
    if job is None:
        return None if entry.is_synced or entry.withdrawn_at else _make_job(record, partner, entry, now)
    if job.status == Status.DONE:
        if job.lease_until < now:
            publish([job], now)
            return "finished a publication"
        return None
    if entry.is_synced and entry.fence >= job.fence:
        deleted, _ = SyncJob.objects.filter(pk=job.pk, fence=job.fence).delete()
        return "deleted the job of a synced entry" if deleted else None
    if entry.is_synced:
        changes = {"is_synced": False, "fence": job.fence, "error_message": job.error_message or None}
        follows = write_entry(record.pk, partner, changes, now, exact_fence=entry.fence)
        return "entry follows the job" if follows else None
    return None


def _make_job(record: DataUnion, partner: str, entry: PartnerEntry, now: datetime) -> str | None:
    """Make the missing job, unless the record changed since it was read: it may have been synced meanwhile.

    It is due a little later, so that nobody takes it before that is known.
    """
    try:
        with transaction.atomic():
            job = SyncJob.objects.create(
                record=record,
                partner=partner,
                user_hash=record.user_hash,
                data_type=record.data_type,
                trigger="audit",
                runs=entry.attempts,
                fence=entry.fence + 1,
                saved=vault.from_text(entry.retry_data) if entry.retry_data else None,
                due_at=now + _SAFE,
            )
    except IntegrityError:
        return None
    if DataUnion.objects.get(pk=record.pk).entry(partner) != entry:
        SyncJob.objects.filter(pk=job.pk, fence=job.fence, status=job.status).delete()
        return None
    return "made the missing job"
