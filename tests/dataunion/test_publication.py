"""Publication: whatever dies between its writes, whoever finds the row finishes it; an older fence is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataunion import claims, publication
from dataunion.clock import db_now
from dataunion.endings import Ending
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.state import Status
from tests.dataunion.work import FAILURE, ahead, at_once, done, make_job, row, set_partner

pytestmark = pytest.mark.django_db(transaction=True)


def committed(status: Status = Status.DONE) -> SyncJob:
    """Return a job whose outcome is stored and not published."""
    set_partner("akave")
    make_job()
    [job] = claims.claim("akave", limit=1)
    job.saved = claims.seal_saved(job.record_id, "akave", {"secret": "s"})
    claims.save_step([job], "finished", db_now())
    ending = done()
    if status != Status.DONE:
        ending = Ending(status=status, due_at=ahead(60), attempt=FAILURE, refs=[("fake_id", "x")])
    assert claims._commit(job, ending, db_now(), {})
    return SyncJob.objects.get()


def facts() -> dict[str, Any]:
    """Return all that publication writes."""
    entry = dict(DataUnion.objects.get().partners["akave"])
    return {
        "entry": entry,
        "attempts": list(SyncAttempt.objects.values_list("number", "fence", "outcome")),
        "refs": list(RemoteRef.objects.values_list("kind", "value")),
        "jobs": list(SyncJob.objects.values_list("status", "outcome", "lease_until")),
    }


PARTS: list[Callable[[SyncJob], None]] = [
    lambda job: None,
    lambda job: publication.Publication([job], db_now()).write_entries() and None,
    lambda job: publication.insert_missing([a for a in [publication._attempt(job, db_now())] if a]),
    lambda job: publication.insert_missing(publication._refs(job)),
]


@pytest.mark.parametrize("died_after", range(len(PARTS)))
def test_a_publication_that_died_is_finished_by_the_next(died_after: int) -> None:
    job = committed()
    for part in PARTS[: died_after + 1]:
        part(job)

    publication.publish([job], db_now())

    found = facts()
    assert (found["entry"]["is_synced"], found["entry"]["fence"], found["entry"]["id"]) == (True, 2, "x")
    assert found["attempts"] == [(1, 2, "synced")]
    assert found["refs"] == [("fake_id", "x")]
    assert found["jobs"] == []
    assert DataUnion.objects.get().retry_data("akave") == {"secret": "s"}


@pytest.mark.parametrize("status", [Status.DONE, Status.RETRYING])
def test_publishing_twice_is_publishing_once(status: Status) -> None:
    job = committed(status)
    publication.publish([job], db_now())
    once = facts()

    publication.publish([job], db_now())

    assert facts() == once


@pytest.mark.parametrize("status", [Status.DONE, Status.RETRYING])
def test_publishing_at_once_is_publishing_once(status: Status) -> None:
    job = committed(status)
    now = db_now()

    assert at_once(*[lambda: publication.publish([job], now)] * 4) == [None] * 4

    assert facts()["attempts"] == [(1, 2, job.outcome["attempt"]["outcome"])]
    assert facts()["refs"] == [("fake_id", "x")]


def test_an_older_fence_is_refused_by_the_entry() -> None:
    job = committed()
    newer = {"is_synced": False, "error_message": "newer", "fence": 3}
    DataUnion.objects.update(partners=MergeEntry("akave", newer))
    before = DataUnion.objects.get().partners

    publication.publish([job], db_now())

    assert DataUnion.objects.get().partners == before


def test_work_that_a_newer_word_has_ended_is_deleted() -> None:
    job = committed(Status.RETRYING)
    DataUnion.objects.update(partners=MergeEntry("akave", {"is_synced": True, "fence": 3}))
    before = DataUnion.objects.get().partners

    publication.publish([job], db_now())

    assert SyncJob.objects.count() == 0
    assert DataUnion.objects.get().partners == before


def test_work_that_a_newer_word_keeps_open_is_kept() -> None:
    job = committed(Status.RETRYING)
    DataUnion.objects.update(partners=MergeEntry("akave", {"fence": 3}))

    publication.publish([job], db_now())

    assert SyncJob.objects.values_list("status", "outcome").get() == (Status.RETRYING, None)


def test_a_job_that_moved_on_is_not_deleted_by_a_stalled_publisher() -> None:
    job = committed()
    SyncJob.objects.update(fence=5, status="pending")
    before = row(job)["fence"], row(job)["status"]

    publication.publish([job], db_now())

    assert (row(job)["fence"], row(job)["status"]) == before


def test_a_job_without_outcome_is_left_alone() -> None:
    job = make_job()
    before = row(job)

    publication.publish([job], db_now())

    assert row(job) == before


def test_a_published_failure_may_be_claimed_when_it_is_due() -> None:
    job = committed(Status.RETRYING)
    assert SyncJob.objects.get().lease_until > NEVER

    publication.publish([job], db_now())

    assert SyncJob.objects.values_list("status", "lease_until", "outcome").get() == (Status.RETRYING, NEVER, None)


def test_a_long_reference_is_cut_to_what_the_column_holds() -> None:
    job = committed()
    job.outcome["refs"] = [["url", "x" * 999]]

    publication.publish([job], db_now())

    assert RemoteRef.objects.get().value == "x" * 200


# --- the entry's expression


def test_two_partners_that_finish_at_once_keep_each_others_entries() -> None:
    record = make_job().record
    names = ["akave", "vana", "folder", "my-hook"]

    def write(name: str) -> bool:
        return all(
            DataUnion.objects.filter(pk=record.pk).update(partners=MergeEntry(name, {"n": n, "by": name}))
            for n in range(10)
        )

    assert at_once(*[lambda name=name: write(name) for name in names]) == [True] * 4

    partners = DataUnion.objects.get().partners
    assert [(partners[name]["n"], partners[name]["by"]) for name in names] == [(9, name) for name in names]


def test_an_entry_is_written_in_one_statement_that_reads_nothing_first() -> None:
    record, now = make_job().record, db_now()

    with CaptureQueriesContext(connection) as queries:
        assert publication.write_entry(record.pk, "akave", {"x": 1}, now, at_most_fence=1)

    assert len(queries) == 1


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "$text", "%s", 'a "quote"', [1, {"$x": None}], {"a": {"b": []}}])
def test_an_entry_takes_any_json_value_as_it_is(value: Any) -> None:
    record = make_job().record

    DataUnion.objects.filter(pk=record.pk).update(partners=MergeEntry("akave", {"given": value}))

    assert DataUnion.objects.get().partners["akave"]["given"] == value


def test_a_merge_keeps_the_other_keys_of_the_entry_and_the_other_entries() -> None:
    record = make_job().record
    before = DataUnion.objects.get().partners

    DataUnion.objects.filter(pk=record.pk).update(partners=MergeEntry("akave", {"fence": 9}))

    assert DataUnion.objects.get().partners == {**before, "akave": {**before["akave"], "fence": 9}}


@pytest.mark.parametrize(("fence", "written"), [(0, False), (1, True), (2, True)])
def test_an_entry_is_written_unless_its_fence_is_newer(fence: int, written: bool) -> None:
    record = make_job(fence=1).record

    found = publication.write_entry(record.pk, "akave", {"x": 1}, db_now(), at_most_fence=fence)

    assert found is written
    assert ("x" in DataUnion.objects.get().partners["akave"]) is written


@pytest.mark.parametrize(("fence", "written"), [(0, False), (1, True), (2, False)])
def test_an_entry_is_written_by_compare_and_set_on_its_fence(fence: int, written: bool) -> None:
    record = make_job(fence=1).record

    found = publication.write_entry(record.pk, "akave", {"x": 1}, db_now(), exact_fence=fence)

    assert found is written


def test_facts_that_a_newer_version_stored_are_passed_by() -> None:
    job = committed(Status.RETRYING)
    job.outcome["attempt"]["carbon_g"] = 7

    publication.publish([job], db_now())

    assert SyncAttempt.objects.count() == 1
    assert SyncJob.objects.get().outcome is None
