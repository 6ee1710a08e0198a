"""Rows as they are answered. Never a payload, never a value of retry_data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from dataunion.models import DataUnion, RetryRun, SyncAttempt, SyncJob
from dataunion.state import PartnerEntry
from dataunion.vault import VaultError

_RECORD = ("id", "schema_version", "user_hash", "data_type", "data_id", "created_at", "updated_at")
_JOB = ("id", "status", "due_at", "attempts", "step", "error_class", "error_message", "changed_at")
_ATTEMPT = (
    *("id", "partner", "number", "kind", "step", "started_at", "duration_ms", "spent", "trigger"),
    *("outcome", "error_class", "error_message", "http_status", "code"),
)
_RUN = ("id", "filter", "asked_by", "state", "total", "wanted", "done", "created_at", "finished_at")


def _pick(row: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: _cut(getattr(row, name)) for name in names}


def _cut(value: Any) -> Any:
    """Cut a time to milliseconds: all that MongoDB keeps, so that the same row is answered the same way again."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value


def show_records(records: Sequence[DataUnion]) -> list[dict[str, Any]]:
    """Return the records with each partner's status; one question for all of them."""
    rows = SyncJob.objects.filter(record_id__in=[record.pk for record in records])
    statuses = {(pk, partner): status for pk, partner, status in rows.values_list("record_id", "partner", "status")}
    shown = []
    for record in records:
        entries = {name: _show_entry(record.entry(name), statuses.get((record.pk, name))) for name in record.partners}
        shown.append({**_pick(record, _RECORD), "partners": entries})
    return shown


def _show_entry(entry: PartnerEntry, job_status: str | None) -> dict[str, Any]:
    status = job_status or ("synced" if entry.is_synced else "withdrawn" if entry.withdrawn_at else "pending")
    return {
        **entry.receipt,
        "is_synced": entry.is_synced,
        "status": status,
        "error_message": entry.error_message,
        "synced_at": entry.synced_at,
        "withdrawn_at": entry.withdrawn_at,
        "attempts": entry.attempts,
    }


def show_in_detail(record: DataUnion) -> dict[str, Any]:
    """Return one record with its open work and the names of what its retries have saved."""
    jobs = {job.partner: job for job in SyncJob.objects.filter(record_id=record.pk)}
    entries = {}
    for name in record.partners:
        job = jobs.get(name)
        entries[name] = {
            **_show_entry(record.entry(name), job.status if job else None),
            "retry_data_keys": _read_keys(record, name),
            "job": _pick(job, _JOB) if job else None,
        }
    return {**_pick(record, _RECORD), "partners": entries}


def _read_keys(record: DataUnion, partner: str) -> list[str] | None:
    """Return None where the key that sealed it is gone; the rest of the record is still worth reading."""
    try:
        return sorted(record.retry_data(partner))
    except VaultError:
        return None


def show_attempt(attempt: SyncAttempt) -> dict[str, Any]:
    """Return one attempt."""
    return _pick(attempt, _ATTEMPT)


def show_run(run: RetryRun) -> dict[str, Any]:
    """Return a retry run."""
    return _pick(run, _RUN)
