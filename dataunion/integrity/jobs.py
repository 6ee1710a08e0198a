"""Making a job that is missing, so that a crash at any point leaves either nothing or what `confirm` can finish.

The job is made in hand: nobody can claim it until the record's entry bears its fence. By that one conditional write it
is decided whether the record changed meanwhile; a report that comes later finds a newer fence and reads again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from dataunion import vault
from dataunion.conf import conf
from dataunion.models import NEVER, DataUnion, SyncJob
from dataunion.publication import write_entry
from dataunion.state import PartnerEntry, Status


def make_job(record: DataUnion, partner: str, entry: PartnerEntry, now: datetime) -> bool:
    """Make the job that is missing for this entry; False when the record changed since it was read."""
    job = SyncJob(
        record=record,
        partner=partner,
        user_hash=record.user_hash,
        data_type=record.data_type,
        trigger="audit",
        runs=entry.attempts,
        fence=entry.fence + 1,
        saved=vault.from_text(entry.retry_data) if entry.retry_data else None,
        due_at=now,
        lease_until=now + timedelta(seconds=conf().sync_lease_s),
    )
    try:
        with transaction.atomic():
            job.save(force_insert=True)
    except IntegrityError:
        return False
    if write_entry(record.pk, partner, {"fence": job.fence}, now, exact_fence=entry.fence):
        return _let_go(job)
    _same(job).delete()
    return False


def confirm(job: SyncJob, now: datetime) -> bool:
    """Finish what `make_job` began for a job whose lease has run out, or undo it; False when it is not needed."""
    record = DataUnion.objects.filter(pk=job.record_id).first()
    if record is None or job.partner not in record.partners:
        return _let_go(job)  # other repairs find it when nobody holds it
    entry = record.entry(job.partner)
    if entry.fence > job.fence or (entry.is_synced and entry.fence == job.fence):
        return bool(_same(job).delete()[0])
    is_behind = entry.fence < job.fence and not entry.is_synced
    if is_behind and not write_entry(record.pk, job.partner, {"fence": job.fence}, now, exact_fence=entry.fence):
        return False
    return _let_go(job)


def put_back(job: SyncJob, now: datetime) -> bool:
    """Make a job due that says it is running or done, and that nobody can finish."""
    changes = {"status": Status.PENDING, "lease_token": "", "due_at": now, "changed_at": now}
    return _same(job).filter(lease_until__lte=NEVER, outcome__isnull=True).update(**changes) == 1


def _let_go(job: SyncJob) -> bool:
    return _same(job).filter(outcome__isnull=True).update(lease_token="", lease_until=NEVER) == 1


def _same(job: SyncJob) -> QuerySet[SyncJob]:
    return SyncJob.objects.filter(pk=job.pk, fence=job.fence, status=job.status)
