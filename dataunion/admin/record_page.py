"""The page of one record: where it is, what is open, what was tried, and what can be done now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dataunion import roster
from dataunion.admin.badges import badge, record_badge
from dataunion.admin.words import say_duration, show_when
from dataunion.models import PAYLOADS, DataUnion, Partner, SyncAttempt, SyncJob
from dataunion.state import REOPENABLE, PartnerState, Status
from dataunion.vault import VaultError

_LATEST = 200


def read_record_page(record: DataUnion, now: datetime) -> dict[str, Any]:
    """Return what the page shows."""
    jobs = {job.partner: job for job in SyncJob.objects.filter(record_id=record.pk)}
    rows = {row.name: row for row in roster.find_partners()}
    names = [name for name in rows if name in record.partners or name in jobs]
    names += [name for name in record.partners if name not in rows]
    attempts = SyncAttempt.objects.filter(record_id=record.pk).order_by("-created_at")[:_LATEST]
    data = PAYLOADS[record.data_type]._default_manager.filter(pk=record.pk).values_list("size_bytes", flat=True)
    return {
        "created": show_when(record.created_at, now),
        "updated": show_when(record.updated_at, now),
        "size_bytes": data.first(),
        "partners": [_partner(record, name, rows.get(name), jobs.get(name), now) for name in names],
        "attempts": [_attempt(attempt, now) for attempt in attempts],
    }


def _partner(record: DataUnion, name: str, row: Partner | None, job: SyncJob | None, now: datetime) -> dict[str, Any]:
    entry = record.entry(name) if name in record.partners else None
    synced_at = datetime.fromisoformat(entry.synced_at) if entry and entry.synced_at else None
    return {
        "name": name,
        "badge": record_badge(record, name, job),
        "job": job,
        "synced": show_when(synced_at, now),
        "receipt": _receipt(entry.receipt) if entry else [],
        "due": _say_due(job, row, now) if job else "",
        "can_retry": job is not None and job.status in REOPENABLE,
        "can_rename": job is not None and job.error_class == "conflict",
        "stopped": row is not None and row.state != PartnerState.ON,
        "row": row,
        "keys": _kept_keys(record, name),
    }


def _receipt(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the partner gave back; only web addresses become links."""
    return [
        {"name": key, "value": value, "is_link": isinstance(value, str) and value.startswith(("https://", "http://"))}
        for key, value in receipt.items()
        if value not in (None, "")
    ]


def _say_due(job: SyncJob, row: Partner | None, now: datetime) -> str:
    if job.status == Status.RUNNING:
        return "A worker has it in hand."
    if job.status == Status.FAILED:
        return "Nothing happens until somebody retries it."
    if job.status == Status.BLOCKED:
        return "Blocked until the reason is gone."
    if row is not None and row.state != PartnerState.ON:
        return f"Waits until {row.name} is resumed."
    return show_when(job.due_at, now) if job.due_at > now else "Due now."


def _kept_keys(record: DataUnion, name: str) -> Iterable[str]:
    """Return which keys retry_data holds; their values are nobody's business."""
    if name not in record.partners:
        return ()
    try:
        return sorted(record.retry_data(name))
    except VaultError:
        return ("cannot be opened: its key is missing from DATAUNION_VAULT_KEYS",)


def _attempt(attempt: SyncAttempt, now: datetime) -> dict[str, Any]:
    return {
        "row": attempt,
        "badge": badge(attempt.outcome),
        "duration": say_duration(attempt.duration_ms),
        "when": show_when(attempt.started_at, now),
    }
