"""Lists as CSV, row by row: ids, types, states, times, error classes and causes; nothing of anybody's data."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from dataunion.causes import name_cause
from dataunion.cursors import walk
from dataunion.models import DataUnion, SyncAttempt, SyncJob

_PAGE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would take what begins so for a formula
_OF_RECORD = ("record_id", "user_hash", "data_type", "data_id")
_OF_JOB = (
    *("partner", "status", "step", "attempts", "due_at", "open_since", "changed_at"),
    *("error_class", "cause", "retry_run"),
)
_OF_ATTEMPT = (
    *("partner", "number", "kind", "outcome", "step", "started_at", "duration_ms", "step_ms"),
    *("error_class", "cause", "http_status", "code", "trigger"),
)
Row = Sequence[Any]


class _Echo:
    """A file that gives back what is written: csv writes to it one line at a time."""

    def write(self, line: str) -> str:
        return line


def write_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Return the lines of a CSV file, made as they are asked for."""
    writer = csv.writer(_Echo())
    return (writer.writerow([_cell(value) for value in row]) for row in rows)


def read_jobs(jobs: QuerySet[SyncJob], *, at_once: int = _PAGE) -> Iterator[Row]:
    """Return open work as rows, newest change first, the names of the columns before it."""
    yield [*_OF_RECORD, *_OF_JOB]
    for page in walk(jobs, "changed_at", size=at_once):
        pks = {job.record_id for job in page}
        data_ids = dict(DataUnion.objects.filter(pk__in=list(pks)).values_list("pk", "data_id"))
        for job in page:
            about = (job.record_id, job.user_hash, job.data_type, data_ids.get(job.record_id, ""))
            times = (job.due_at, job.created_at, job.changed_at)
            yield [*about, job.partner, job.status, job.step, job.attempts, *times, *_error(job), job.run]


def read_attempts(attempts: QuerySet[SyncAttempt], *, at_once: int = _PAGE) -> Iterator[Row]:
    """Return attempts as rows, newest first; `step_ms` is what each step took, such as "keys 1, upload 45"."""
    yield [*_OF_RECORD, *_OF_ATTEMPT]
    for page in walk(attempts, "", size=at_once):
        records = DataUnion.objects.filter(pk__in=list({row.record_id for row in page}))
        names = {pk: rest for pk, *rest in records.values_list("pk", "user_hash", "data_id")}
        for row in page:
            user_hash, data_id = names.get(row.record_id, ("", ""))
            about = (row.record_id, user_hash, row.data_type, data_id)
            end = (row.partner, row.number, row.kind, row.outcome, row.step)
            times = (row.started_at, row.duration_ms, _spent(row))
            error = (row.error_class, name_cause(row.error_message), row.http_status, row.code)
            yield [*about, *end, *times, *error, row.trigger]


def _spent(attempt: SyncAttempt) -> str:
    return ", ".join(f"{line['step']} {line['ms']}" for line in attempt.spent or ())


def read_records(
    records: QuerySet[DataUnion], open_work: QuerySet[SyncJob] | None, partners: Sequence[str], *, at_once: int = _PAGE
) -> Iterator[Row]:
    """Return records as rows, newest first, with their state at each partner; only those of `open_work` if given."""
    of_partner = ("", " synced_at", " error_class", " cause")
    yield [*_OF_RECORD, "came_in_at", "changed_at", *(name + what for name in partners for what in of_partner)]
    for page in _pages(records, open_work, at_once):
        jobs: dict[Any, dict[str, SyncJob]] = {record.pk: {} for record in page}
        for job in SyncJob.objects.filter(record_id__in=list(jobs)):
            jobs[job.record_id][job.partner] = job
        for record in page:
            about = (record.pk, record.user_hash, record.data_type, record.data_id)
            states = [cell for name in partners for cell in _state(record, name, jobs[record.pk].get(name))]
            yield [*about, record.created_at, record.updated_at, *states]


def _pages(records: QuerySet[DataUnion], open_work: QuerySet[SyncJob] | None, size: int) -> Iterator[list[DataUnion]]:
    if open_work is None:
        yield from walk(records, "", size=size)
        return
    pks = open_work.order_by("-record_id").values_list("record_id", flat=True)
    found = list(pks[:size])
    while found:
        yield list(records.filter(pk__in=list(dict.fromkeys(found))).order_by("-pk"))
        if len(found) < size:
            return
        found = list(pks.filter(record_id__lt=found[-1])[:size])


def _state(record: DataUnion, partner: str, job: SyncJob | None) -> Row:
    synced_at = record.partners.get(partner, {}).get("synced_at")
    return [record.state_at(partner, job), synced_at, *(_error(job) if job else ("", ""))]


def _error(job: SyncJob) -> tuple[str, str]:
    return job.error_class, job.cause or name_cause(job.error_message)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
