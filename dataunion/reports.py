"""What others say of a sync: `update_partner_sync`, for a service or a person who did it, or saw it fail, elsewhere.

It follows the rule of every writer: compare-and-set on the fence of the job's row, or of the entry where there is no
job; then publication. On a lost race it reads again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dataunion import claims, roster, vault
from dataunion.causes import name_cause
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import DataUnion, SyncJob
from dataunion.publication import in_one_transaction, publish, write_entry
from dataunion.state import PartnerEntry, Status

_RACES = 50


class ContendedError(Exception):
    """Other writers were faster, again and again. Ask once more."""


def report_sync(
    *,
    record: DataUnion,
    partner: str,
    is_synced: bool,
    error_message: str | None = None,
    retry_data: Mapping[str, Any] | None = None,
) -> None:
    """Store what is said of this record and partner; open work follows. `retry_data=None` keeps what is stored.

    Raises ValueError("Partner x not found"), TypeError for retry data that is no mapping, ContendedError.
    """
    if retry_data is not None and not isinstance(retry_data, Mapping):
        raise TypeError("retry_data should be a mapping or None")
    sealed = None if retry_data is None else claims.seal_saved(record.pk, partner, retry_data)
    for _ in range(_RACES):
        # The entry first: a job that is made after this look raises the entry's fence, and ours then fails.
        fresh = DataUnion.objects.get(pk=record.pk)
        entry = fresh.entry(partner)
        job = SyncJob.objects.filter(record_id=record.pk, partner=partner).first()
        now = db_now()
        if job is not None and job.outcome is not None:
            publish([job], now)  # what has been committed must be told before something newer takes its place
            stored = False
        elif job is not None:
            stored = _report_on_job(job, entry, is_synced, error_message, sealed, now)
        elif is_synced:
            stored = _report_synced(fresh, partner, entry, sealed, now)
        else:
            stored = _report_unsynced(fresh, partner, entry, error_message, sealed, now)
        if stored:
            if is_synced:
                claims.bring_forward([record.pk], roster.find_dependents(partner), now)
            return
    raise ContendedError(f"{partner}: other writers kept changing this record; ask again")


def _status(is_synced: bool, error_message: str | None) -> Status:
    if is_synced:
        return Status.DONE
    return Status.FAILED if error_message else Status.PENDING


def _outcome(is_synced: bool, error_message: str | None, now: datetime) -> dict[str, Any]:
    entry: dict[str, Any] = {"is_synced": is_synced, "error_message": None if is_synced else error_message}
    if is_synced:
        entry["synced_at"] = now.isoformat()
    return {"entry": entry, "attempt": None, "refs": []}


def _report_on_job(
    job: SyncJob, entry: PartnerEntry, is_synced: bool, error: str | None, sealed: bytes | None, now: datetime
) -> bool:
    seen = job.fence
    changes: dict[str, Any] = {
        "fence": max(job.fence, entry.fence) + 1,
        "status": _status(is_synced, error),
        "lease_token": "",
        "lease_until": now + timedelta(seconds=conf().sync_lease_s),
        "outcome": _outcome(is_synced, error, now),
        "error_class": "reported" if error and not is_synced else "",
        "error_message": "" if is_synced else error or "",
        "cause": name_cause(error) if error and not is_synced else None,
        "attempts": 0,
        "crashes": 0,
        "waiting_since": None,
        "due_at": now,
        "changed_at": now,
    }
    if sealed is not None:
        changes.update(saved=sealed, step="")  # steps find in it what they had done, whoever did it
    with in_one_transaction():
        # An outcome that a worker has committed since is told first: its attempt would be lost with it.
        if SyncJob.objects.filter(pk=job.pk, fence=seen, outcome__isnull=True).update(**changes) != 1:
            return False
        job.refresh_from_db()  # a worker may have saved a step since it was read
        publish([job], now)
    return True


def _report_synced(record: DataUnion, partner: str, entry: PartnerEntry, sealed: bytes | None, now: datetime) -> bool:
    changes = dict(_outcome(True, None, now)["entry"], fence=entry.fence + 1)
    if sealed is not None:
        changes["retry_data"] = vault.to_text(sealed)
    return write_entry(record.pk, partner, changes, now, exact_fence=entry.fence)


def _report_unsynced(
    record: DataUnion, partner: str, entry: PartnerEntry, error: str | None, sealed: bytes | None, now: datetime
) -> bool:
    """Make the job, then say it there: so nobody's word is overwritten that came since the entry was read."""
    with in_one_transaction():
        job = claims.make_job(record, partner, entry, trigger="report", now=now)
        return job is not None and _report_on_job(job, entry, False, error, sealed, now)
