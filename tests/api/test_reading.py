"""Reading records: one in detail, or lists by filter and page."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataunion.api import listing
from dataunion.claims import seal_saved
from dataunion.models import DataUnion, SyncJob
from dataunion.state import add_spent
from tests.api.conftest import Ask, assert_problem
from tests.factories import DataUnionFactory, SyncAttemptFactory, SyncJobFactory, hours_ago, synced_entry

pytestmark = pytest.mark.django_db


def _shown(time: datetime) -> str:
    cut = time.replace(microsecond=time.microsecond // 1000 * 1000)
    return cut.isoformat().replace("+00:00", "Z")


def test_a_record_shows_its_open_work_and_never_what_retries_have_saved(ask: Ask, reader) -> None:
    job = SyncJobFactory(attempts=4)
    SyncJob.objects.filter(pk=job.pk).update(saved=seal_saved(job.record_id, "vana", {"secret": "s3cr3t", "id": "7"}))

    response = ask(reader, "GET", f"records/{job.record_id}")

    record = DataUnion.objects.get()
    found = response.json()
    assert b"s3cr3t" not in response.content
    assert found["user_hash"] == record.user_hash
    assert found["partners"]["akave"] == {
        "url": "https://akave.example/object",
        "is_synced": True,
        "status": "synced",
        "error_message": None,
        "synced_at": "2026-01-02T03:04:05+00:00",
        "withdrawn_at": None,
        "attempts": 1,
        "retry_data_keys": [],
        "job": None,
    }
    vana = found["partners"]["vana"]
    assert vana["retry_data_keys"] == ["id", "secret"]
    assert (vana["is_synced"], vana["status"]) == (False, "failed")
    assert vana["job"] == {
        "id": str(job.pk),
        "status": "failed",
        "due_at": _shown(job.due_at),
        "attempts": 4,
        "step": "store",
        "error_class": "permanent",
        "error_message": "vana: store: refused the object",
        "changed_at": _shown(job.changed_at),
    }


def test_a_record_whose_sealing_key_is_gone_can_still_be_read(ask: Ask, reader) -> None:
    job = SyncJobFactory()
    SyncJob.objects.filter(pk=job.pk).update(saved=b"\x01" + bytes(100))

    found = ask(reader, "GET", f"records/{job.record_id}").json()

    assert found["partners"]["vana"]["retry_data_keys"] is None


def test_a_record_that_was_taken_back_is_withdrawn(ask: Ask, reader) -> None:
    entry = synced_entry("vana", is_synced=False, withdrawn_at="2026-02-01T00:00:00+00:00")
    record = DataUnionFactory(partners={"vana": entry})

    found = ask(reader, "GET", f"records/{record.pk}").json()["partners"]["vana"]

    assert (found["status"], found["withdrawn_at"]) == ("withdrawn", "2026-02-01T00:00:00+00:00")


@pytest.mark.parametrize("path", ["records/{}", "records/{}/attempts"])
def test_an_unknown_record_is_not_found(ask: Ask, reader, path: str) -> None:
    unknown = uuid.uuid4()

    assert_problem(ask(reader, "GET", path.format(unknown)), 404, f"There is no record {unknown}.")


def test_attempts_are_listed_newest_first(ask: Ask, reader) -> None:
    record = DataUnionFactory()
    spent = add_spent(None, "store", took_ms=110, since="2026-01-02T03:04:05+00:00")
    older = SyncAttemptFactory(record=record, number=1, spent=spent)
    newer = SyncAttemptFactory(record=record, number=2, outcome="synced", error_class="", error_message="")
    SyncAttemptFactory()

    found = ask(reader, "GET", f"records/{record.pk}/attempts").json()

    assert [row["id"] for row in found["results"]] == [str(newer.pk), str(older.pk)]
    assert found["next_cursor"] is None
    assert found["results"][0]["spent"] is None
    assert found["results"][1] == {
        "id": str(older.pk),
        "partner": "vana",
        "number": 1,
        "kind": "push",
        "step": "store",
        "started_at": "2026-01-02T03:04:05Z",
        "duration_ms": 120,
        "spent": [{"step": "store", "runs": 1, "ms": 110, "since": "2026-01-02T03:04:05+00:00"}],
        "trigger": "ingest",
        "outcome": "transient",
        "error_class": "transient",
        "error_message": "vana: store: HTTP 503; it is tried again",
        "http_status": 503,
        "code": "",
    }


def _ids(response: Any) -> list[str]:
    return [row["id"] for row in response.json()["results"]]


def test_records_are_listed_newest_first_with_the_status_at_each_partner(ask: Ask, reader) -> None:
    older, job = DataUnionFactory(), SyncJobFactory(status="retrying")

    response = ask(reader, "GET", "records")

    assert _ids(response) == [str(job.record_id), str(older.pk)]
    assert response.json()["next_cursor"] is None
    newest = response.json()["results"][0]["partners"]
    assert {name: entry["status"] for name, entry in newest.items()} == {"akave": "synced", "vana": "retrying"}
    assert "retry_data" not in newest["vana"]


@pytest.mark.parametrize("query", ["", "&partner=vana&status=synced", "&partner=akave&status=failed"])
def test_pages_follow_each_other_without_gap_or_repetition(ask: Ask, reader, query: str) -> None:
    records = DataUnionFactory.create_batch(7)
    for record in records:
        SyncJobFactory(record=record, partner="akave")

    seen: list[str] = []
    cursor = ""
    for size in (3, 3, 1):
        page = ask(reader, "GET", f"records?limit=3{query}{cursor}").json()
        assert len(page["results"]) == size
        seen += [row["id"] for row in page["results"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert page["next_cursor"] is None
    assert seen == [str(record.pk) for record in reversed(records)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("user_hash=ann", ["a", "b"]),
        ("data_type=checkin", ["b"]),
        ("user_hash=ann&data_type=health", ["a"]),
        ("user_hash=nobody", []),
        ("partner=vana&status=failed", ["a"]),
        ("partner=vana&status=retrying", ["b"]),
        ("partner=vana&status=failing", ["a", "b"]),
        ("partner=vana&status=failing&user_hash=bob", []),
        ("partner=vana&status=failing&data_type=checkin", ["b"]),
        ("partner=vana&status=pending", []),
        ("partner=vana&status=blocked", []),
        ("partner=vana&status=running", []),
        ("partner=vana&status=synced", ["c"]),
        ("partner=akave&status=synced&user_hash=ann", ["a", "b"]),
    ],
)
def test_records_are_found_by_user_type_and_status(ask: Ask, reader, query: str, expected: list[str]) -> None:
    records = {
        "a": DataUnionFactory(user_hash="ann"),
        "b": DataUnionFactory(user_hash="ann", data_type="checkin"),
        "c": DataUnionFactory(user_hash="bob"),
    }
    SyncJobFactory(record=records["a"], status="failed")
    SyncJobFactory(record=records["b"], status="retrying")

    found = _ids(ask(reader, "GET", f"records?{query}"))

    assert sorted(found) == sorted(str(records[name].pk) for name in expected)


@pytest.mark.parametrize("status", ["", "&partner=vana&status=failed", "&partner=akave&status=synced"])
def test_records_are_found_by_time(ask: Ask, reader, status: str) -> None:
    old, middle, _new = (DataUnionFactory(created_at=hours_ago(hours)) for hours in (9, 5, 1))
    for record in DataUnion.objects.all():
        SyncJobFactory(record=record)
    after = (hours_ago(7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = (hours_ago(3)).strftime("%Y-%m-%dT%H:%M:%SZ")

    between = _ids(ask(reader, "GET", f"records?created_after={after}&created_before={before}{status}"))
    earlier = _ids(ask(reader, "GET", f"records?created_before={after}{status}"))

    assert between == [str(middle.pk)]
    assert earlier == [str(old.pk)]


def test_a_search_for_synced_records_looks_at_a_bounded_number_and_goes_on(ask: Ask, reader) -> None:
    first = DataUnionFactory()
    DataUnion.objects.bulk_create(
        DataUnionFactory.build_batch(listing.SCANNED + 1, partners={"vana": synced_entry("vana", is_synced=False)})
    )

    page = ask(reader, "GET", "records?partner=vana&status=synced").json()
    assert page["results"] == []
    rest = ask(reader, "GET", f"records?partner=vana&status=synced&cursor={page['next_cursor']}").json()

    assert [row["id"] for row in rest["results"]] == [str(first.pk)]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("partner=vana", "status is missing; it goes with partner"),
        ("status=failed", "partner is missing; it goes with status"),
        ("partner=filecoin&status=failed", "Partner filecoin not found; there are: akave, vana"),
        (
            "partner=vana&status=done",
            "status should be one of: synced, failing, pending, running, retrying, failed, blocked",
        ),
        ("data_type=sleep", "data_type should be one of: health, checkin"),
        ("limit=0", "limit should be 1 or more"),
        ("limit=1001", "limit should be 1000 or less"),
        ("limit=many", "limit should be a whole number"),
        ("cursor=next", "cursor should be an id that an earlier answer gave"),
        ("created_after=now", "created_after should be a time such as 2026-01-31T08:30:00Z"),
        (
            "userhash=ann",
            (
                "userhash is not known here; there are: limit, cursor, user_hash, data_type, partner, status, "
                "created_after, created_before"
            ),
        ),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(ask: Ask, reader, query: str, sentence: str) -> None:
    assert_problem(ask(reader, "GET", f"records?{query}"), 400, sentence)


def test_times_of_records_are_in_utc(ask: Ask, reader) -> None:
    record = DataUnionFactory(created_at=datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(milliseconds=5))

    assert ask(reader, "GET", f"records/{record.pk}").json()["created_at"] == "2026-03-01T12:00:00.005000Z"
