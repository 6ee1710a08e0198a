"""Lists as CSV: what stands in them, page by page, and what never does."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion import exports
from dataunion.models import DataUnion, SyncAttempt, SyncJob
from dataunion.state import add_spent
from tests.factories import (
    SYNCED_AT,
    DataUnionFactory,
    HealthDataFactory,
    SyncAttemptFactory,
    SyncJobFactory,
    synced_entry,
)

pytestmark = pytest.mark.django_db


def read(rows: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(exports.write_csv(rows)), newline="")))


def test_open_work_has_a_row_for_each_job() -> None:
    record = DataUnionFactory(user_hash="u1", data_id="d1")
    job = SyncJobFactory(record=record, error_message="vana: store: HTTP 503 after 1200 ms", run=record.pk)
    HealthDataFactory(record=record, content={"pulse": "plant"})

    [row] = read(exports.read_jobs(SyncJob.objects.all()))

    assert (row["record_id"], row["user_hash"], row["data_type"], row["data_id"]) == (
        str(record.pk),
        "u1",
        "health",
        "d1",
    )
    assert (row["partner"], row["status"], row["step"], row["attempts"]) == ("vana", "failed", "store", "2")
    assert (row["error_class"], row["cause"]) == ("permanent", "vana: store: HTTP 503 after <number> ms")
    assert row["retry_run"] == str(record.pk)
    assert row["open_since"] == job.created_at.isoformat(timespec="milliseconds")
    assert "plant" not in str(row)


def test_records_have_their_state_at_each_partner() -> None:
    record = DataUnionFactory(partners={"akave": synced_entry("akave")})
    SyncJobFactory(record=record, partner="vana", cause="vana: store: out of order")

    [row] = read(exports.read_records(DataUnion.objects.all(), None, ["akave", "vana", "hook"]))

    assert (row["akave"], row["akave synced_at"], row["akave cause"]) == ("synced", SYNCED_AT, "")
    assert (row["vana"], row["vana error_class"], row["vana cause"]) == (
        "failed",
        "permanent",
        "vana: store: out of order",
    )
    assert row["hook"] == ""


def test_attempts_have_their_times_and_what_went_wrong() -> None:
    record = DataUnionFactory(user_hash="u1", data_id="d1")
    spent = add_spent(add_spent(None, "keys", took_ms=1, since="a"), "store", took_ms=45, since="a")
    row = SyncAttemptFactory(record=record, spent=spent, error_message="vana: store: HTTP 503 after 1200 ms")

    [found] = read(exports.read_attempts(SyncAttempt.objects.all()))

    assert found == {
        "record_id": str(record.pk),
        "user_hash": "u1",
        "data_type": record.data_type,
        "data_id": "d1",
        "partner": "vana",
        "number": str(row.number),
        "kind": "push",
        "outcome": "transient",
        "step": "store",
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "duration_ms": "120",
        "step_ms": "keys 1, store 45",
        "error_class": "transient",
        "cause": "vana: store: HTTP 503 after <number> ms",
        "http_status": "503",
        "code": "",
        "trigger": "ingest",
    }


def test_an_attempt_at_a_record_that_never_came_is_there_too() -> None:
    row = SyncAttemptFactory()
    DataUnion.objects.all().delete()

    [found] = read(exports.read_attempts(SyncAttempt.objects.all()))

    assert (found["record_id"], found["user_hash"], found["data_id"]) == (str(row.record_id), "", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_quoted(text: str) -> None:
    DataUnionFactory(data_id=text)

    [row] = read(exports.read_records(DataUnion.objects.all(), None, []))

    assert row["data_id"] == f"'{text}"


def test_other_cells_stay_as_they_are() -> None:
    DataUnionFactory(data_id='a=b, "c"\nd')

    assert read(exports.read_records(DataUnion.objects.all(), None, []))[0]["data_id"] == 'a=b, "c"\nd'


def test_every_row_comes_once_over_many_pages() -> None:
    same = timezone.now()
    jobs = [SyncJobFactory(changed_at=same) for _ in range(7)]
    for job in jobs[:2]:
        SyncJobFactory(record=job.record, partner="akave", changed_at=same)
    DataUnionFactory()
    newest_first = [str(job.record_id) for job in reversed(jobs)]

    work = read(exports.read_jobs(SyncJob.objects.all(), at_once=3))
    some = read(exports.read_records(DataUnion.objects.all(), SyncJob.objects.all(), [], at_once=3))

    tried = SyncAttemptFactory.create_batch(7, record=jobs[0].record)
    attempts = read(exports.read_attempts(SyncAttempt.objects.all(), at_once=3))

    assert [row["number"] for row in attempts] == [str(row.number) for row in reversed(tried)]
    assert len({(row["record_id"], row["partner"]) for row in work}) == len(work) == 9
    assert [row["record_id"] for row in some] == newest_first
    assert len(read(exports.read_records(DataUnion.objects.all(), None, [], at_once=3))) == 8


def test_rows_are_read_as_they_are_asked_for() -> None:
    SyncJobFactory.create_batch(3)
    lines = exports.write_csv(exports.read_jobs(SyncJob.objects.all()))

    with CaptureQueriesContext(connection) as queries:
        next(lines)

    assert len(queries) == 0
