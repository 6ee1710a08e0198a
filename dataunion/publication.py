"""What follows a move: the entry, the attempt, the references, the end of the job. Safe to repeat, in this order.

A move commits by storing `outcome` in the job's row. Everything here follows from that row alone, so whoever finds it
can finish it: first the record's entry (refused if a newer fence has written it), then history, then the job.

Shape of outcome: {"entry": {…changes…}, "attempt": {…state.Attempt…} or null, "refs": [["tx_hash", "0x…"]]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, models, transaction

from dataunion import vault
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Attempt, PartnerEntry, Status

_FACTS = {field.name for field in fields(Attempt)}


def publish(jobs: Iterable[SyncJob], now: datetime) -> None:
    """Do what the stored outcomes of these jobs say."""
    jobs = [job for job in jobs if job.outcome is not None]
    refused = [job for job in jobs if not _publish_entry(job, now)]
    insert_missing(SyncAttempt, [a for job in jobs if (a := _attempt(job, now))])
    insert_missing(RemoteRef, [ref for job in jobs for ref in _refs(job)])
    for job in jobs:
        same = SyncJob.objects.filter(pk=job.pk, fence=job.fence, status=job.status)
        if job.status == Status.DONE or (job in refused and _is_synced(job)):
            same.delete()  # also the work of somebody slow, which a newer word has ended
        else:
            same.update(outcome=None, lease_token="", lease_until=NEVER)


def _publish_entry(job: SyncJob, now: datetime) -> bool:
    changes = dict(job.outcome["entry"], fence=job.fence, attempts=job.runs)
    saved = job.saved if job.status == Status.DONE else None
    changes["retry_data"] = None if saved is None else vault.to_text(bytes(saved))
    return write_entry(job.record_id, job.partner, changes, now, at_most_fence=job.fence)


def _is_synced(job: SyncJob) -> bool:
    record = DataUnion.objects.filter(pk=job.record_id).first()
    # An entry that is missing is the audit's business; here it must not keep others from being published.
    return record is not None and PartnerEntry.parse(record.partners.get(job.partner, {})).is_synced


def write_entry(record_id: Any, partner: str, changes: Mapping[str, Any], now: datetime, **fence: int) -> bool:
    """Merge `changes` into the entry if its fence is as said (`at_most_fence=` or `exact_fence=`); say if it was."""
    if "at_most_fence" in fence:
        guard = {f"partners__{partner}__fence__lte": fence["at_most_fence"]}
    else:
        guard = {f"partners__{partner}__fence": fence["exact_fence"]}
    updated = DataUnion.objects.filter(pk=record_id, **guard).update(
        partners=MergeEntry(partner, changes), updated_at=now
    )
    return updated == 1


def _attempt(job: SyncJob, now: datetime) -> SyncAttempt | None:
    if job.outcome["attempt"] is None:
        return None
    # A newer version's worker may have stored facts that this one has no place for.
    facts = {name: value for name, value in job.outcome["attempt"].items() if name in _FACTS}
    return SyncAttempt(
        record_id=job.record_id,
        partner=job.partner,
        data_type=job.data_type,
        kind=job.kind,
        fence=job.fence,
        created_at=now,
        **{**facts, "started_at": datetime.fromisoformat(facts["started_at"])},
    )


def _refs(job: SyncJob) -> list[RemoteRef]:
    return [
        RemoteRef(record_id=job.record_id, partner=job.partner, kind=kind, value=value[:200])
        for kind, value in job.outcome["refs"]
    ]


def insert_missing(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert rows whose unique key is not there yet."""
    if connection.features.supports_ignore_conflicts:
        model._default_manager.bulk_create(rows, ignore_conflicts=True)
        return
    for row in rows:
        try:
            row.save(force_insert=True)
        except IntegrityError:
            continue


def in_one_transaction() -> Any:
    """Return the context in which a move's ordered writes stand: one transaction on SQL, nothing on MongoDB."""
    return transaction.atomic()
