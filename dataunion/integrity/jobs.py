"""Making a job that is missing, so that a crash at any point leaves either nothing or what `confirm` can finish.

The job is made in hand: nobody can claim it until the record's entry bears its fence. By that one conditional write it
is decided whether the record changed meanwhile; a report that comes later finds a newer fence and reads again.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from dataunion import claims, enrolment
from dataunion.models import NEVER, DataUnion, SyncJob
from dataunion.publication import write_entry
from dataunion.state import PartnerEntry, Status


def make_job(record: DataUnion, partner: str, entry: PartnerEntry, now: datetime) -> bool:
    """Make the job that is missing for this entry; False when the record changed since it was read."""
    job = claims.make_job(record, partner, entry, trigger="audit", now=now)
    return job is not None and _let_go(job)


def confirm(job: SyncJob, now: datetime) -> bool:
    """Finish what `make_job` began for a job whose lease has run out, or undo it; False when it is not needed.

    At a final entry the job is a report's that died before it said its word: nobody was told that it was heard.
    """
    record = DataUnion.objects.filter(pk=job.record_id).first()
    if record is None:
        return _let_go(job)  # other repairs find it when nobody holds it
    if job.partner not in record.partners:
        return enrolment.enter(job, now) and _let_go(job)
    entry, changes = record.entry(job.partner), {"fence": job.fence}
    if entry.fence > job.fence or entry.is_synced or entry.withdrawn_at:
        return bool(_same(job).delete()[0])
    if entry.fence < job.fence and not write_entry(record.pk, job.partner, changes, now, exact_fence=entry.fence):
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
