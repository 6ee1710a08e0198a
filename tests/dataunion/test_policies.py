"""Retry policies: when they come, what they start, and that a firing happens once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dataunion import policies
from dataunion.clock import db_now
from dataunion.models import RetryPolicy, RetryRun, SyncJob, TaskLease
from dataunion.state import RunState
from dataunion.sync.tick import upkeep
from tests.dataunion.work import ago, ahead, make_job
from tests.factories import RetryPolicyFactory

pytestmark = pytest.mark.django_db(transaction=True)


def failed(**fields: Any) -> SyncJob:
    facts = {"status": "failed", "error_class": "permanent", "partner": "vana", "changed_at": ago(60)}
    return make_job(**{**facts, **fields})


@pytest.mark.parametrize(("hour", "day", "expected_hour"), [(3, 2, 3), (12, 2, 12), (13, 1, 13), (0, 2, 0)])
def test_the_next_firing_is_the_next_time_that_hour_comes(hour: int, day: int, expected_hour: int) -> None:
    now = datetime(2026, 5, 1, 12, 0, 0, 500, tzinfo=UTC)

    assert policies.next_firing(hour, now) == datetime(2026, 5, day, expected_hour, tzinfo=UTC)


def test_upkeep_starts_the_run_of_a_policy_whose_hour_has_come() -> None:
    jobs = [failed(), failed(error_class="poison")]
    others = [failed(status="retrying"), failed(error_class="transient"), failed(partner="akave")]
    policy = RetryPolicyFactory(error_classes=["poison", "permanent"], next_at=ago(5))

    upkeep()

    run, now = RetryRun.objects.get(), db_now()
    assert run.filter == {"status": "failed", "error_classes": "permanent,poison", "partner": "vana"}
    assert run.asked_by == "the daily policy of 03:00 UTC (set by ada)"
    assert (run.state, run.done) == ("done", 2)
    assert set(SyncJob.objects.filter(run=run.pk)) == set(jobs)
    assert set(SyncJob.objects.filter(run=None)) == set(others)
    policy.refresh_from_db()
    assert policy.next_at == policies.next_firing(3, now)


@pytest.mark.parametrize(("is_on", "due_in_s"), [(False, -5), (True, 600)])
def test_a_policy_that_is_off_or_not_due_starts_nothing(is_on: bool, due_in_s: int) -> None:
    failed()
    RetryPolicyFactory(is_on=is_on, next_at=ahead(due_in_s))

    upkeep()

    assert (RetryRun.objects.count(), SyncJob.objects.get().status) == (0, "failed")


def test_a_policy_of_every_partner_names_none() -> None:
    failed(partner="akave"), failed()
    RetryPolicyFactory(partner="", next_at=ago(5))

    upkeep()

    assert RetryRun.objects.get().done == 2


def test_a_policy_without_errors_reopens_nothing() -> None:
    failed()
    RetryPolicyFactory(error_classes=[], next_at=ago(5))

    upkeep()

    assert SyncJob.objects.get().status == "failed"


def test_a_firing_that_was_stopped_before_it_was_noted_is_not_done_twice() -> None:
    failed()
    policy = RetryPolicyFactory(next_at=ago(5))
    policies.fire_due(db_now())
    SyncJob.objects.update(status="failed", changed_at=ago(1))  # failed again
    RetryPolicy.objects.update(next_at=policy.next_at)  # as if the worker had died before

    assert policies.fire_due(db_now()) == 1

    run = RetryRun.objects.get()
    assert (run.state, run.done, SyncJob.objects.get().status) == (RunState.DONE, 1, "failed")
    assert RetryPolicy.objects.get().next_at > db_now()


def test_a_firing_stands_among_the_runs_of_its_hour() -> None:
    policy = RetryPolicyFactory(next_at=ago(3600))
    later = RetryRun.objects.create()

    policies.fire_due(db_now())

    fired = RetryRun.objects.exclude(pk=later.pk).get()
    assert (fired.pk.version, fired.pk < later.pk) == (7, True)
    assert policies.next_firing(policy.hour, db_now()) > db_now()


def test_an_upkeep_of_another_worker_leaves_policies_alone() -> None:
    RetryPolicyFactory(next_at=ago(5))
    TaskLease.objects.create(name="upkeep", token="other", until=ahead(60))

    upkeep()

    assert not RetryRun.objects.exists()


def test_a_stored_policy_comes_first_at_its_next_hour() -> None:
    policy = RetryPolicyFactory.build(hour=7)

    policies.store(policy, by="bob", now=datetime(2026, 5, 1, 12, tzinfo=UTC))

    stored = RetryPolicy.objects.get()
    assert (stored.changed_by, stored.next_at) == ("bob", datetime(2026, 5, 2, 7, tzinfo=UTC))


def test_the_classes_to_choose_from_are_ours_those_seen_and_those_chosen() -> None:
    failed(error_class="spoilt")
    failed(error_class="odd", status="retrying")

    assert policies.find_classes() == [*policies.CLASSES, "spoilt"]
    assert policies.find_classes(RetryPolicy(error_classes=["old", "poison"])) == [*policies.CLASSES, "old", "spoilt"]
