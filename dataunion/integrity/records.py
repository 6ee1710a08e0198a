"""Record against job: for each partner exactly one of "synced, no job", "not synced, one job", "withdrawn" holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from dataunion import enrolment, roster
from dataunion.integrity.findings import Findings, Kind
from dataunion.integrity.jobs import make_job, put_back
from dataunion.models import NEVER, DataUnion, SyncJob
from dataunion.publication import publish, write_entry
from dataunion.reports import report_sync
from dataunion.state import PartnerEntry, Status
from partners.base import PUSH

_LIMIT = 500
_SETTLED = timedelta(minutes=2)  # what is younger may still be on its way


def check_records(found: Findings, records: Sequence[DataUnion]) -> None:
    """Compare these records, read before, with their jobs; young ones are passed over."""
    records = [record for record in records if record.created_at < found.now - _SETTLED]
    found.looked_at["records"] += len(records)
    jobs = {(j.record_id, j.partner): j for j in SyncJob.objects.filter(record_id__in=[r.pk for r in records])}
    required = {row.name: tuple(roster.requirements(row)) for row in roster.find_partners()}
    for record in records:
        for name in set(record.partners) & set(required):
            _check_pair(found, record, name, jobs.get((record.pk, name)), required[name])
    _check_entries(found, records, jobs)


def check_unheld(found: Findings) -> None:
    """Look at jobs that are running or done, and in nobody's hands."""
    for row in roster.find_partners():
        for status in (Status.RUNNING, Status.DONE):
            jobs = list(SyncJob.objects.filter(partner=row.name, status=status, lease_until__lte=NEVER)[:_LIMIT])
            records = DataUnion.objects.in_bulk([job.record_id for job in jobs])
            for job in jobs:
                record = records.get(job.record_id)
                if record is not None and row.name in record.partners:
                    _check_pair(found, record, row.name, job, ())


def _check_pair(found: Findings, record: DataUnion, name: str, job: SyncJob | None, required: Sequence[str]) -> None:
    entry, facts = record.entry(name), {"record": record.pk, "partner": name}
    if job is None:
        if not (entry.is_synced or entry.withdrawn_at) and _is_still(record, name, entry):
            found.mend(Kind.MISSING_JOB, partial(make_job, record, name, entry, found.now), **facts)
        return
    if job.lease_until > NEVER:
        return  # somebody has it in hand; what is left there is found by its lease
    broken = _find_break(job, entry)
    if broken is not None:
        repairs = {
            Kind.PUBLICATION: partial(_publish, job, found.now),
            Kind.NO_LEASE: partial(put_back, job, found.now),
            Kind.NO_OUTCOME: partial(put_back, job, found.now),
            Kind.FINAL_JOB: partial(_delete, job),
            Kind.ENTRY_BEHIND: partial(_let_entry_follow, job, entry, found.now),
            Kind.JOB_BEHIND: partial(_raise_fence, job, entry),
        }
        found.mend(broken, repairs[broken], **facts)
    elif _is_old_conflict(job, record, required, found.now):
        again = partial(_begin_anew, record, name)
        found.mend(Kind.OLD_CONFLICT, again, **facts)


def _find_break(job: SyncJob, entry: PartnerEntry) -> Kind | None:
    """Say what is wrong between a job that nobody holds and its entry, as each was read: the entry first."""
    is_final = entry.is_synced if job.kind == PUSH else bool(entry.withdrawn_at)
    if job.outcome is not None:
        return Kind.PUBLICATION
    if is_final and entry.fence >= job.fence:
        return Kind.FINAL_JOB
    if job.status == Status.RUNNING:
        return Kind.NO_LEASE
    if job.status == Status.DONE:
        return Kind.NO_OUTCOME
    if job.kind == PUSH and entry.is_synced:
        return Kind.ENTRY_BEHIND
    return Kind.JOB_BEHIND if entry.fence > job.fence else None


def _is_still(record: DataUnion, name: str, entry: PartnerEntry) -> bool:
    """Say whether the entry is as it was read: the job may have ended since."""
    fresh = DataUnion.objects.filter(pk=record.pk).first()
    return fresh is not None and name in fresh.partners and fresh.entry(name) == entry


def _publish(job: SyncJob, now: datetime) -> bool:
    publish([job], now)
    return True


def _delete(job: SyncJob) -> bool:
    same = SyncJob.objects.filter(pk=job.pk, fence=job.fence, lease_until__lte=NEVER)
    return bool(same.delete()[0])


def _let_entry_follow(job: SyncJob, entry: PartnerEntry, now: datetime) -> bool:
    changes = {"is_synced": False, "fence": job.fence, "error_message": job.error_message or None}
    return write_entry(job.record_id, job.partner, changes, now, exact_fence=entry.fence)


def _raise_fence(job: SyncJob, entry: PartnerEntry) -> bool:
    """Let the job speak again: what it says is refused while the entry's fence is above its own."""
    same = SyncJob.objects.filter(pk=job.pk, fence=job.fence, lease_until__lte=NEVER)
    return same.update(fence=entry.fence) == 1


# --- a name that is gone


def _is_old_conflict(job: SyncJob, record: DataUnion, required: Sequence[str], now: datetime) -> bool:
    """Say whether what the job needs got a new name after the job gave up because the old one was another's."""
    if job.status != Status.FAILED or job.error_class != "conflict":
        return False
    entries = [record.entry(name) for name in required if name in record.partners]
    renamed = [datetime.fromisoformat(e.synced_at) for e in entries if e.is_synced and e.synced_at]
    return any(job.changed_at < at < now - _SETTLED for at in renamed)


def _begin_anew(record: DataUnion, name: str) -> bool:
    report_sync(record=record, partner=name, is_synced=False, retry_data={})
    return True


# --- entries that are missing


def _check_entries(found: Findings, records: Sequence[DataUnion], jobs: Mapping[tuple[UUID, str], SyncJob]) -> None:
    by_key = {record.pk: record for record in records}
    for (pk, name), job in jobs.items():
        if name not in by_key[pk].partners:
            found.mend(Kind.MISSING_ENTRY, partial(enrolment.enter, job, found.now), record=pk, partner=name)
