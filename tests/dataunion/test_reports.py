"""update_partner_sync: what others say of a sync, and that open work follows."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion import claims, reports
from dataunion.clock import db_now
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from partners.errors import TransientError
from partners.testing import FakePartner
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import at_once, done, hand_in, job_of, make_due, row, steal

pytestmark = pytest.mark.django_db(transaction=True)


def synced() -> DataUnion:
    """Return a record that akave has."""
    record = hand_in()
    engine.push("akave")
    record.refresh_from_db()
    assert record.entry("akave").is_synced
    return record


def jobs() -> int:
    return SyncJob.objects.filter(partner="akave").count()


# --- true


def test_true_ends_the_open_work() -> None:
    record = hand_in()
    fence = job_of(record).fence
    before = db_now()

    record.update_partner_sync("akave", True)

    entry = record.entry("akave")
    assert (entry.is_synced, entry.error_message, entry.fence) == (True, None, fence + 1)
    assert entry.synced_at is not None
    assert before.isoformat() <= entry.synced_at <= db_now().isoformat()
    assert jobs() == 0
    assert SyncAttempt.objects.count() == 0


def test_true_ends_work_that_failed_and_clears_the_error() -> None:
    record = hand_in()
    record.update_partner_sync("akave", False, "broken")

    record.update_partner_sync("akave", True)

    assert (record.entry("akave").is_synced, record.entry("akave").error_message, jobs()) == (True, None, 0)


def test_true_ignores_an_error_message() -> None:
    record = hand_in()

    record.update_partner_sync("akave", True, "odd")

    assert record.entry("akave").error_message is None


def test_true_takes_the_job_from_the_worker_that_has_it() -> None:
    record = hand_in()
    FakePartner.service("akave").plan(
        "store", lambda item: at_once(lambda: DataUnion.objects.get().update_partner_sync("akave", True)), when="after"
    )

    engine.push("akave")

    assert FakePartner.service("akave").called("confirm") == 0
    record.refresh_from_db()
    assert (record.entry("akave").is_synced, record.entry("akave").receipt, jobs()) == (True, {}, 0)


def test_true_keeps_the_step_results_of_the_open_work() -> None:
    record = hand_in()
    FakePartner.service("akave").plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    kept = record.retry_data("akave")

    record.update_partner_sync("akave", True)

    assert kept["secret"] == f"secret-of-{record.pk}"
    assert record.retry_data("akave") == kept


def test_true_wakes_the_partners_that_wait_for_it(settings: Any) -> None:
    settings.PARTNERS = partners_of(second="NeedsAkave")
    record = hand_in()
    engine.push("second")
    assert job_of(record, "second").due_at > db_now()

    record.update_partner_sync("akave", True)

    assert job_of(record, "second").due_at <= db_now()


def test_true_without_open_work_raises_the_fence() -> None:
    record = synced()
    before = record.entry("akave")

    record.update_partner_sync("akave", True)

    after = record.entry("akave")
    assert (after.is_synced, after.fence, after.receipt) == (True, before.fence + 1, before.receipt)
    assert jobs() == 0


# --- false


def test_false_with_an_error_marks_open_work_as_failed() -> None:
    record = hand_in()

    record.update_partner_sync("akave", False, "The bucket is gone.")

    job = job_of(record)
    assert (job.status, job.error_class, job.error_message) == (Status.FAILED, "reported", "The bucket is gone.")
    assert job.cause == "The bucket is gone."
    assert (job.lease_until, job.lease_token, job.outcome) == (NEVER, "", None)
    entry = record.entry("akave")
    assert (entry.is_synced, entry.error_message, entry.fence) == (False, "The bucket is gone.", job.fence)
    assert DataUnion.find_failed_syncs("akave") == [record]


def test_false_without_an_error_makes_open_work_due_now() -> None:
    record = hand_in()
    record.update_partner_sync("akave", False, "broken")

    record.update_partner_sync("akave", False)

    job = job_of(record)
    assert (job.status, job.error_class, job.error_message, job.attempts) == (Status.PENDING, "", "", 0)
    assert job.cause is None
    assert job.due_at <= db_now()
    assert record.entry("akave").error_message is None
    assert engine.push("akave") == 1


def test_false_with_an_error_opens_work_again_as_failed() -> None:
    record = synced()
    before = record.entry("akave")

    record.update_partner_sync("akave", False, "The object is gone.")

    job, entry = job_of(record), record.entry("akave")
    assert (job.status, job.fence, job.runs, job.trigger) == (Status.FAILED, before.fence + 2, 1, "report")
    assert (entry.is_synced, entry.error_message, entry.fence) == (False, "The object is gone.", job.fence)
    assert (job.outcome, job.lease_until) == (None, NEVER)


def test_false_without_an_error_opens_work_again_that_is_due() -> None:
    record = synced()

    record.update_partner_sync("akave", False)

    assert (job_of(record).status, record.entry("akave").is_synced) == (Status.PENDING, False)
    make_due(record)
    engine.push("akave")
    record.refresh_from_db()
    assert record.entry("akave").is_synced
    assert sorted(SyncAttempt.objects.values_list("number", "outcome")) == [(1, "synced"), (2, "synced")]


def test_work_opened_again_goes_on_with_what_was_saved() -> None:
    record = synced()
    kept = record.retry_data("akave")

    record.update_partner_sync("akave", False, "broken")

    assert claims.open_saved(job_of(record)) == kept
    assert record.partners["akave"]["retry_data"] is None
    assert record.retry_data("akave") == kept


# --- retry data


@pytest.mark.parametrize("is_synced", [True, False])
def test_retry_data_that_is_given_replaces_what_is_stored(is_synced: bool) -> None:
    record = hand_in()
    record.update_partner_sync("akave", False, "broken", {"old": 1})

    record.update_partner_sync("akave", is_synced, retry_data={"new": {"deep": [1, None]}})

    assert record.retry_data("akave") == {"new": {"deep": [1, None]}}


@pytest.mark.parametrize("is_synced", [True, False])
def test_retry_data_of_none_keeps_what_is_stored(is_synced: bool) -> None:
    record = hand_in()
    record.update_partner_sync("akave", False, "broken", {"old": 1})

    record.update_partner_sync("akave", is_synced, "still broken", None)

    assert record.retry_data("akave") == {"old": 1}


def test_retry_data_replaces_that_of_a_synced_entry() -> None:
    record = synced()

    record.update_partner_sync("akave", True, retry_data={"new": 1})

    assert record.retry_data("akave") == {"new": 1}


def test_retry_data_opens_work_again_with_it() -> None:
    record = synced()

    record.update_partner_sync("akave", False, "broken", {"new": 1})

    assert claims.open_saved(job_of(record)) == {"new": 1}


def test_retry_data_that_is_given_starts_at_the_first_step() -> None:
    record = hand_in()
    FakePartner.service("akave").plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")

    record.update_partner_sync("akave", False, retry_data={"new": 1})

    assert job_of(record).step == ""


def test_retry_data_is_unreadable_at_rest() -> None:
    record = synced()

    record.update_partner_sync("akave", True, retry_data={"key": "PLANTED-MARKER"})

    assert "PLANTED-MARKER" not in str(DataUnion.objects.values("partners").get())


@pytest.mark.parametrize("wrong", ["text", [1], 7])
def test_retry_data_that_is_no_mapping_is_refused(wrong: Any) -> None:
    record = hand_in()

    with pytest.raises(TypeError, match=r"^retry_data should be a mapping or None$"):
        record.update_partner_sync("akave", True, retry_data=wrong)

    assert jobs() == 1


# --- who is not there


@pytest.mark.parametrize("is_synced", [True, False])
def test_an_unknown_partner_is_refused(is_synced: bool) -> None:
    record = hand_in()

    with pytest.raises(ValueError, match=r"^Partner nobody not found$"):
        record.update_partner_sync("nobody", is_synced)


def test_the_other_partners_entry_stays_as_it_was() -> None:
    record = hand_in()
    before = record.partners["vana"]

    record.update_partner_sync("akave", False, "broken")

    assert record.partners["vana"] == before


# --- fences and races


def test_the_fence_goes_above_the_jobs_and_the_entrys() -> None:
    record = hand_in()
    SyncJob.objects.filter(record=record, partner="akave").update(fence=41)

    record.update_partner_sync("akave", False, "broken")

    assert (job_of(record).fence, record.entry("akave").fence) == (42, 42)


def test_a_committed_outcome_is_told_before_the_report_takes_its_place() -> None:
    record = hand_in()
    [job] = claims.claim("akave", limit=1)
    assert claims._commit(job, done(), db_now(), {})

    record.update_partner_sync("akave", False, "The object is gone.")

    assert SyncAttempt.objects.get().outcome == "synced"
    assert RemoteRef.objects.get().value == "x"
    assert record.entry("akave").receipt == {"id": "x"}
    assert (job_of(record).status, record.entry("akave").is_synced) == (Status.FAILED, False)


def test_a_report_that_is_overtaken_changes_nothing_and_looks_again() -> None:
    record = hand_in()
    seen = job_of(record)
    stolen = row(steal(seen))

    assert not reports._report_on_job(seen, record.entry("akave"), True, None, None, db_now())

    assert row(seen) == stolen


def test_an_outcome_that_a_dead_worker_committed_after_our_look_is_told_with_its_attempt() -> None:
    record = hand_in()
    [job] = claims.claim("akave", limit=1)
    seen = job_of(record)
    assert claims._commit(job, done(), db_now(), ())

    assert not reports._report_on_job(seen, record.entry("akave"), False, "it is gone", None, db_now())
    record.update_partner_sync("akave", False, "it is gone")

    assert list(SyncAttempt.objects.values_list("number", "outcome")) == [(1, "synced")]
    assert (job_of(record).status, record.entry("akave").error_message) == (Status.FAILED, "it is gone")


@pytest.mark.parametrize("had_it", [True, False])
def test_reports_at_once_leave_one_truth(had_it: bool) -> None:
    record = synced() if had_it else hand_in()

    results = at_once(
        *[
            lambda n=n: DataUnion.objects.get().update_partner_sync("akave", n % 2 == 0, "broken" if n % 2 else None)
            for n in range(6)
        ]
    )

    assert results == [None] * 6
    record.refresh_from_db()
    entry, open_jobs = record.entry("akave"), list(SyncJob.objects.filter(partner="akave"))
    assert (entry.is_synced, len(open_jobs)) in ((True, 0), (False, 1))
    for job in open_jobs:
        assert (job.status, job.outcome, job.fence, entry.error_message) == ("failed", None, entry.fence, "broken")


def test_a_report_and_a_worker_at_once_leave_one_truth() -> None:
    record = hand_in()

    results = at_once(
        lambda: engine.push("akave"),
        lambda: DataUnion.objects.get().update_partner_sync("akave", False, "broken"),
        lambda: DataUnion.objects.get().update_partner_sync("akave", True),
    )

    assert [r for r in results if isinstance(r, Exception)] == []
    record.refresh_from_db()
    assert (record.entry("akave").is_synced, jobs()) in ((True, 0), (False, 1))
