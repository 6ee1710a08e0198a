"""Decisions: what each error makes of its job, and of no other."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dataunion import claims, gate
from dataunion.clock import db_now
from dataunion.models import DataUnion, Partner, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from partners.errors import (
    BlockedError,
    MisconfiguredError,
    NotReady,
    PermanentError,
    TransientError,
    UnknownOutcome,
)
from tests.dataunion.work import ago, ahead, hand_in, job_of, make_due, seconds_to, service, set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_transient_error_is_retried_later_and_spends_an_attempt() -> None:
    record = hand_in()
    service().plan("store", TransientError("akave: store: HTTP 503", http_status=503))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.runs, job.step) == (Status.RETRYING, 1, 1, "store")
    assert (job.error_class, job.error_message) == ("transient", "akave: store: HTTP 503")
    assert 2.0 < seconds_to(job) <= 5.0
    assert SyncAttempt.objects.values_list("outcome", "http_status", "step").get() == ("transient", 503, "store")


def test_each_retry_waits_longer_up_to_the_cap() -> None:
    record = hand_in()
    set_partner(backoff_base_s=100.0, backoff_cap_s=300.0)
    waits = []
    for _ in range(4):
        service().plan("store", TransientError("akave: store: HTTP 503"))
        make_due(record)
        engine.push("akave")
        waits.append(seconds_to(job_of(record)))

    bounds = [(49, 100), (99, 200), (149, 300), (149, 300)]
    assert all(low < wait <= high for wait, (low, high) in zip(waits, bounds, strict=True)), waits


def test_the_last_attempt_of_the_budget_fails_the_job() -> None:
    record = hand_in()
    set_partner(max_attempts=2)
    for _ in range(2):
        service().plan("store", TransientError("akave: store: HTTP 503"))
        make_due(record)
        engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.error_class) == (Status.FAILED, 2, "transient")


def test_the_last_failed_attempt_at_one_partner_leaves_the_others_entry_untouched() -> None:
    record = hand_in()
    engine.push("vana")
    before = DataUnion.objects.get().partners["vana"]
    set_partner(max_attempts=1)
    service().plan("store", TransientError("akave: store: HTTP 503"))

    engine.push("akave")

    record.refresh_from_db()
    assert record.partners["vana"] == before
    assert before["is_synced"] is True
    assert (record.entry("akave").is_synced, record.entry("akave").error_message) == (False, "akave: store: HTTP 503")


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (TransientError("busy", retry_after_s=60.0, http_status=429), 60.0),
        (TransientError("busy", retry_after_s=60.0, http_status=503), 60.0),
        (TransientError("busy", retry_after_s=0.0, http_status=429), 1.0),
        (TransientError("busy", retry_after_s=9e9, http_status=429), 3600.0),
        (TransientError("busy", http_status=429), 5.0),
    ],
)
def test_a_partner_that_asks_for_peace_gets_it_for_all_its_jobs(error: TransientError, wait_s: float) -> None:
    record = hand_in()
    hand_in("b")
    service().plan("store", error)
    before = db_now()

    with settings_of(sync_chunk=1):
        engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.runs) == (Status.RETRYING, 0, 1)
    assert SyncAttempt.objects.get().outcome == "limited"
    peace_s = (Partner.objects.get(name="akave").not_before - before).total_seconds()
    assert wait_s <= peace_s < wait_s + 20
    assert service().called("keys") == 1


def test_peace_is_never_shortened() -> None:
    set_partner(not_before=ahead(500))
    until = Partner.objects.get(name="akave").not_before

    gate.ask_for_peace("akave", ahead(5))

    assert Partner.objects.get(name="akave").not_before == until


def test_a_permanent_error_fails_the_job_at_once() -> None:
    record = hand_in()
    service().plan("store", PermanentError("akave: store: refused", kind="conflict", http_status=409, code="Taken"))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.error_class) == (Status.FAILED, 1, "conflict")
    assert SyncAttempt.objects.values_list("outcome", "http_status", "code").get() == ("permanent", 409, "Taken")


def test_a_wait_is_due_later_and_spends_nothing() -> None:
    record = hand_in()
    service().plan("confirm", NotReady("akave: confirm: not yet", after_s=30.0))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.runs, job.error_message) == (Status.PENDING, 0, 0, "")
    assert 28 < seconds_to(job) <= 30
    assert job.waiting_since is not None
    assert SyncAttempt.objects.count() == 0


def test_a_wait_past_its_limit_is_an_error_that_names_what_was_waited_for() -> None:
    record = hand_in()
    service().plan("confirm", *[NotReady("akave: confirm: not yet.", after_s=30.0, at_most_s=100.0)] * 2)
    engine.push("akave")
    SyncJob.objects.filter(record=record).update(waiting_since=ago(101), due_at=ago(1))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.error_class, job.waiting_since) == (Status.RETRYING, 1, "transient", None)
    assert job.error_message.startswith("akave: confirm: not yet. Waited 10")
    assert job.error_message.endswith(" s in vain.")


def test_an_unknown_outcome_asks_again_soon_and_spends_nothing() -> None:
    record = hand_in()
    service().plan("store", UnknownOutcome("akave: store: no answer came", after_s=2.0), when="after")

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, job.runs, job.error_class) == (Status.RETRYING, 0, 1, "unknown_outcome")
    assert 0 < seconds_to(job) <= 2
    assert SyncAttempt.objects.get().outcome == "unknown"


@pytest.mark.parametrize(("waited_s", "again_s"), [(20, 20), (300, 60)])
def test_an_outcome_that_stays_unknown_is_asked_for_more_rarely(waited_s: int, again_s: int) -> None:
    record = hand_in()
    service().plan("store", *[UnknownOutcome("akave: store: no answer came")] * 2)
    engine.push("akave")
    SyncJob.objects.filter(record=record).update(waiting_since=ago(waited_s), due_at=ago(1))

    engine.push("akave")

    assert again_s - 1 < seconds_to(job_of(record)) <= again_s + 3


def test_an_outcome_that_stays_unknown_for_long_spends_an_attempt() -> None:
    record = hand_in()
    service().plan("store", *[UnknownOutcome("akave: store: no answer came")] * 2)
    engine.push("akave")
    SyncJob.objects.filter(record=record).update(waiting_since=ago(601), due_at=ago(1))

    engine.push("akave")

    job = job_of(record)
    assert (job.attempts, job.error_class, job.waiting_since) == (1, "transient", None)


def test_a_wrong_configuration_pauses_the_partner_with_the_reason() -> None:
    record = hand_in()
    service().plan("store", MisconfiguredError("akave: store: HTTP 403; give it a valid key", http_status=403))

    engine.push("akave")

    partner, job = Partner.objects.get(name="akave"), job_of(record)
    assert (partner.state, partner.state_reason, partner.state_by) == (
        "paused",
        "akave: store: HTTP 403; give it a valid key",
        "system",
    )
    assert (job.status, job.attempts, job.error_class) == (Status.RETRYING, 0, "misconfigured")
    assert SyncAttempt.objects.get().outcome == "misconfigured"


def test_a_blocked_record_waits_for_nobody_and_is_not_retried() -> None:
    record = hand_in()
    service().plan("store", BlockedError("akave: store: the schema is not allowed"))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.error_class, job.attempts) == (Status.BLOCKED, "blocked", 0)
    assert claims.reopen(SyncJob.objects.all(), trigger="ann", priority=0, now=db_now()) == 0


def test_our_own_bug_fails_that_job_only_and_shows_nothing_of_the_data(caplog: pytest.LogCaptureFixture) -> None:
    secret = "PLANTED-MARKER"
    record = hand_in(payload=f'{{"note":"{secret}"}}'.encode())
    hand_in("b")

    def stumble(item: Any) -> None:
        raise ValueError(f"cannot use {item.payload!r}")

    service().plan("store", stumble)
    caplog.set_level(logging.DEBUG)

    engine.push("akave")

    [failed] = SyncJob.objects.filter(partner="akave")
    assert (failed.status, failed.error_class) == (Status.FAILED, "internal")
    assert failed.error_message.startswith("Our own bug: ValueError in stumble, line ")
    assert SyncAttempt.objects.filter(outcome="internal").count() == 1
    assert DataUnion.objects.count() == 2
    [entry] = [r for r in caplog.records if r.message == "sync.partner.bug"]
    assert (entry.type, entry.partner, entry.step) == ("ValueError", "akave", "store")
    assert "stumble" in entry.trace
    everything = " ".join(str(vars(r)) for r in caplog.records) + str(SyncAttempt.objects.values())
    assert secret not in everything + str(DataUnion.objects.values("partners"))
    assert record.pk
