"""The page of one record: where it is, what is open, what was tried, and what can be done now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html

from dataunion import renaming, roster
from dataunion.admin.badges import record_badge
from dataunion.admin.receipts import read_receipt
from dataunion.admin.timeline import read_timeline, say_trigger
from dataunion.admin.words import show_when
from dataunion.models import PAYLOADS, DataUnion, Partner, SyncJob
from dataunion.state import REOPENABLE, PartnerState, Status
from dataunion.vault import VaultError
from dataunion.wording import say_class, say_step


def read_record_page(record: DataUnion, now: datetime) -> dict[str, Any]:
    """Return what the page shows."""
    jobs = {job.partner: job for job in SyncJob.objects.filter(record_id=record.pk)}
    rows = {row.name: row for row in roster.find_partners()}
    names = [name for name in rows if name in record.partners or name in jobs]
    names += [name for name in record.partners if name not in rows]
    data = PAYLOADS[record.data_type]._default_manager.filter(pk=record.pk).values_list("size_bytes", flat=True)
    attempts = reverse("admin:dataunion_syncattempt_changelist")
    person = reverse("admin:dataunion_dataunion_person")
    return {
        "created": show_when(record.created_at, now),
        "updated": show_when(record.updated_at, now),
        "size_bytes": data.first(),
        "partners": [_partner(record, name, rows.get(name), jobs, now) for name in names],
        "attempts_url": f"{attempts}?{urlencode({'q': str(record.pk)})}",
        "person_url": f"{person}?{urlencode({'user': record.user_hash})}",
        **read_timeline(record, now),
    }


def _partner(
    record: DataUnion, name: str, row: Partner | None, jobs: Mapping[str, SyncJob], now: datetime
) -> dict[str, Any]:
    entry, job = record.entry(name) if name in record.partners else None, jobs.get(name)
    synced_at = datetime.fromisoformat(entry.synced_at) if entry and entry.synced_at else None
    return {
        "name": name,
        "badge": record_badge(record, name, job),
        "job": job,
        "step": say_step(job.step) if job else "",
        "kind": say_class(job.error_class) if job else "",
        "trigger": say_trigger(job.trigger) if job else "",
        "state": record.state_at(name, job),
        "synced": show_when(synced_at, now),
        "links": roster.find_links(row, entry.receipt) if row and entry else [],
        "receipt": read_receipt(entry.receipt) if entry else [],
        "due": _say_due(job, row, _find_missing(row, jobs), now) if job else "",
        "can_retry": job is not None and row is not None and job.status in REOPENABLE,
        "can_rename": job is not None and job.error_class == "conflict" and renaming.is_renamable(record),
        "stopped": row is not None and row.state != PartnerState.ON,
        "row": row,
        "keys": _kept_keys(record, name),
    }


def _find_missing(row: Partner | None, jobs: Mapping[str, SyncJob]) -> list[str]:
    """Return the partners that must have the record first, and do not."""
    return [name for name in roster.requirements(row) if name in jobs] if row else []


def _say_due(job: SyncJob, row: Partner | None, missing: list[str], now: datetime) -> str:
    if job.status == Status.RUNNING:
        return "A worker has it in hand."
    if job.status == Status.FAILED:
        return "Nothing happens until somebody retries it."
    if job.status == Status.BLOCKED:
        return f"Blocked until {' and '.join(missing)} has it." if missing else "Blocked until the reason is gone."
    if row is None:
        return "There is no such partner any more, so nothing is sent."
    if row.state != PartnerState.ON:
        return f"Waits until {row.name} is resumed."
    if missing:
        return f"Waits for {' and '.join(missing)}, which must have it first."
    if job.due_at <= now:
        return "Due now."
    asks = "Looked at again" if job.waiting_since else "Tried again" if job.attempts else "Sent"
    why = f" It waits: {job.waits_for}" if job.waiting_since and job.waits_for else ""
    return format_html("{} {}.{}", asks, show_when(job.due_at, now), why)


def _kept_keys(record: DataUnion, name: str) -> Iterable[str]:
    """Return in words which keys retry_data holds; their values are nobody's business."""
    if name not in record.partners:
        return ()
    try:
        return sorted(map(say_step, record.retry_data(name)))
    except VaultError:
        return ("cannot be opened: its key is missing from DATAUNION_VAULT_KEYS",)
