"""What follows a move: the entry, the attempt, the references, the end of the job. Safe to repeat, in this order.

A move commits by storing `outcome` in the job's row. Everything here follows from that row alone, so whoever finds it
can finish it: first the record's entry (refused if a newer fence has written it), then history, then the job. Where all
stands in one transaction, what is done is deleted first instead (ADR 17).

Shape of outcome: {"entry": {…changes…}, "attempt": {…state.Attempt…} or null, "refs": [["tx_hash", "0x…"]]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, models, transaction

from dataunion import vault
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob, each
from dataunion.models.expressions import MergeEntry
from dataunion.state import Attempt, PartnerEntry, Status

_FACTS = {field.name for field in fields(Attempt)}


def publish(jobs: Iterable[SyncJob], now: datetime) -> None:
    """Do what the stored outcomes of these jobs say."""
    Publication([job for job in jobs if job.outcome is not None], now).write()


class Publication:
    """What the outcomes of these jobs say, made ready: on SQL others wait as long as a transaction lasts."""

    def __init__(self, jobs: Sequence[SyncJob], now: datetime) -> None:
        self._jobs, self._now = jobs, now
        attempts = [a for job in jobs if (a := _attempt(job, now))]
        self._history: tuple[Sequence[models.Model], ...] = (attempts, [ref for job in jobs for ref in _refs(job)])
        self._merges = _merge_each(jobs, now) if each.is_at_hand() else []
        self._inserts = [each.insert(rows) for rows in self._history] if each.is_at_hand() else []

    def write(self, *, is_done_deleted: bool = False) -> None:
        """Write the entries, history, and how the jobs end; `is_done_deleted`: the rows of what is done are gone."""
        with in_one_transaction():
            refused = {job.pk for job in self.write_entries()}
            self.write_history()
            ended: list[SyncJob] = []
            going_on: list[SyncJob] = []
            for job in self._jobs:
                if job.status == Status.DONE:
                    ended += [] if is_done_deleted else [job]
                elif job.pk in refused and _is_synced(job):
                    ended.append(job)  # also the work of somebody slow has ended, which a newer word has ended
                else:
                    going_on.append(job)
            _end(ended, going_on)

    def write_entries(self) -> list[SyncJob]:
        """Write the entries, each unless it is newer than its job; return the jobs whose entry was."""
        if not each.is_at_hand():
            return [job for job in self._jobs if not _write_job(job, self._now)]
        if sum(merge.run() for merge in self._merges) == len(self._jobs):
            return []
        keys = [job.record_id for job in self._jobs]
        stored = dict(DataUnion.objects.filter(pk__in=keys).values_list("pk", "partners"))
        return [
            job for job in self._jobs if stored.get(job.record_id, {}).get(job.partner, {}).get("fence") != job.fence
        ]

    def write_history(self) -> None:
        """Insert the attempts and references that are not there yet."""
        if each.is_at_hand():
            for insert in self._inserts:
                insert.run()
            return
        for rows in self._history:
            insert_missing(rows)


def _end(ended: Sequence[SyncJob], going_on: Sequence[SyncJob]) -> None:
    """Delete the rows of work that has ended, and let go of the others."""
    free = {"outcome": None, "lease_token": "", "lease_until": NEVER}
    if each.is_at_hand():
        each.delete(SyncJob, [_same(job) for job in ended]).run()
        each.update(SyncJob, [(_same(job), free) for job in going_on]).run()
        return
    for job in ended:
        SyncJob.objects.filter(**_same(job)).delete()
    for job in going_on:
        SyncJob.objects.filter(**_same(job)).update(**free)


def _same(job: SyncJob) -> dict[str, Any]:
    return {"id": job.pk, "fence": job.fence, "status": job.status}


def _write_job(job: SyncJob, now: datetime) -> bool:
    return write_entry(job.record_id, job.partner, _changes(job), now, at_most_fence=job.fence)


def _merge_each(jobs: Sequence[SyncJob], now: datetime) -> list[each.Many]:
    """Return the statements that write the entries: one, or on SQLite one for all that change the same keys.

    Records go in the order of their keys, so that two chunks with the same ones do not lock each other out.
    """
    shapes: dict[tuple[str, ...], list[tuple[SyncJob, dict[str, Any]]]] = {}
    for job in sorted(jobs, key=lambda job: job.record_id):
        changes = _changes(job)
        shape = tuple(changes) if connection.vendor == "sqlite" else ()
        shapes.setdefault(shape, []).append((job, changes))
    return [_merge_alike(keys, writes, now) for keys, writes in shapes.items()]


def _merge_alike(keys: Sequence[str], writes: Sequence[tuple[SyncJob, dict[str, Any]]], now: datetime) -> each.Many:
    vendor = connection.vendor
    if vendor == "sqlite":
        merge, fence = MergeEntry.merge_on_sqlite('"partners"', keys), 'json_extract("partners", %s)'
    else:
        merge, fence = MergeEntry.merge_on_postgresql('"partners"'), "(\"partners\" -> %s ->> 'fence')::bigint"
    sql = f'UPDATE "dataunions" SET "partners" = {merge}, "updated_at" = %s WHERE "_id" = %s AND {fence} <= %s'  # noqa: S608 - names of ours
    key, at = DataUnion._meta.pk, connection.ops.adapt_datetimefield_value(now)
    rows = []
    for job, changes in writes:
        place = f'$."{job.partner}"."fence"' if vendor == "sqlite" else job.partner
        record = key.get_db_prep_value(job.record_id, connection)
        merged = MergeEntry.read_parameters(vendor, job.partner, changes)
        rows.append([*merged, at, record, place, job.fence])
    return each.Many(sql, rows)


def _changes(job: SyncJob) -> dict[str, Any]:
    saved = job.saved if job.status == Status.DONE else None
    retry_data = None if saved is None else vault.to_text(bytes(saved))
    return dict(job.outcome["entry"], fence=job.fence, attempts=job.runs, retry_data=retry_data)


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


def insert_missing(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model whose unique key is not there yet."""
    if each.is_at_hand():
        each.insert(rows).run()
        return
    for row in rows:
        try:
            row.save(force_insert=True)
        except IntegrityError:
            continue


def in_one_transaction() -> Any:
    """Return the context in which a move's ordered writes stand: one transaction on SQL, nothing on MongoDB."""
    return transaction.atomic()
