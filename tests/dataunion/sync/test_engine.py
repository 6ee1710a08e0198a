"""The engine: a claimed chunk on its way through the steps, and what each error makes of it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from dataunion import claims, gate, roster
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
from partners.testing import FakePartner, FakeService
from tests.dataunion.sync import adapters
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import ago, ahead, at_once, hand_in, job_of, make_due, set_partner, settings_of, steal

pytestmark = pytest.mark.django_db(transaction=True)


def service(name: str = "akave") -> FakeService:
    return FakePartner.service(name)


def seconds_to(job: SyncJob) -> float:
    return (job.due_at - db_now()).total_seconds()


# --- the way through


def test_a_record_reaches_its_partners() -> None:
    record = hand_in(payload=b'{"x":1}')

    assert engine.push("akave") == 1
    assert engine.push("vana") == 1

    record.refresh_from_db()
    once_id = record.entry("akave").receipt["id"]
    assert service().objects == {once_id: b'{"x":1}'}
    assert (record.entry("akave").is_synced, record.entry("vana").is_synced) == (True, True)
    assert SyncJob.objects.count() == 0
    assert list(SyncAttempt.objects.values_list("number", "outcome")) == [(1, "synced")] * 2


def test_a_chunk_goes_through_the_steps_together() -> None:
    for name in "abc":
        hand_in(name)

    assert engine.push("akave") == 3

    assert [step for step, _ in service().calls] == ["keys"] * 3 + ["store"] * 3 + ["confirm"] * 3


def test_a_push_goes_on_until_nothing_is_due() -> None:
    for name in "abcde":
        hand_in(name)

    with settings_of(sync_chunk=2):
        assert engine.push("akave") == 5

    assert DataUnion.objects.count() == 5
    assert SyncJob.objects.filter(partner="akave").count() == 0


def test_a_push_stops_when_its_time_is_up() -> None:
    hand_in()

    with settings_of(sync_push_s=1e-9):
        assert engine.push("akave") == 0


def test_a_push_for_an_unknown_partner_says_which_there_are() -> None:
    with pytest.raises(roster.UnknownPartnerError, match=r"^Partner nobody not found; there are: akave, vana$"):
        engine.push("nobody")


@pytest.mark.parametrize("state", ["paused", "off"])
def test_a_push_leaves_a_partner_alone_that_is_not_on(state: str) -> None:
    hand_in()
    set_partner(state=state)

    assert engine.push("akave") == 0
    assert service().calls == []


def test_only_steps_that_declare_it_get_the_payload() -> None:
    hand_in(payload=b'{"x":1}')
    seen: list[bytes | None] = []
    for step in ("keys", "store", "confirm"):
        service().plan(step, lambda item: seen.append(item.payload))

    engine.push("akave")

    assert seen == [None, b'{"x":1}', None]


def test_a_step_sees_whose_record_it_is() -> None:
    owner = {"address": "0x" + "1a" * 20, "public_key": "04" + "ab" * 64}
    record = hand_in(schema_name="omh:steps", owner=owner)
    seen: list[Any] = []
    service().plan("keys", seen.append)

    engine.push("akave")

    [item] = seen
    assert (item.record_id, item.partner, item.kind) == (str(record.pk), "akave", "push")
    assert (item.user_hash, item.data_type, item.data_id, item.schema_name) == ("u1", "health", "a", "omh:steps")
    assert (item.owner.address, item.owner.public_key) == (owner["address"], owner["public_key"])


def test_a_job_resumes_at_its_saved_step_with_what_is_saved() -> None:
    record = hand_in()
    service().plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    assert job_of(record).step == "confirm"
    stored = claims.open_saved(job_of(record))
    seen: list[Any] = []
    service().plan("confirm", lambda item: seen.append(dict(item.saved)))

    make_due(record)
    engine.push("akave")

    assert seen == [stored]
    assert (service().called("keys"), service().called("store"), service().called("confirm")) == (1, 1, 2)


def test_a_step_that_the_configuration_no_longer_has_means_the_first() -> None:
    record = hand_in()
    SyncJob.objects.filter(record=record).update(step="gone")

    engine.push("akave")

    assert [step for step, _ in service().calls] == ["keys", "store", "confirm"]


def test_a_job_that_died_before_its_last_move_only_completes() -> None:
    record = hand_in()
    service().plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    SyncJob.objects.filter(record=record, partner="akave").update(step="finished", due_at=ago(1))

    engine.push("akave")

    assert service().called("confirm") == 1
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_crash_between_effect_and_save_runs_the_step_again() -> None:
    record = hand_in()

    def die(item: Any) -> None:
        raise SystemExit  # as the worker's end would, past everything that catches errors

    service().plan("store", die, when="after")
    with pytest.raises(SystemExit):
        engine.push("akave")
    assert job_of(record).status == Status.RUNNING
    SyncJob.objects.update(lease_until=ago(1))
    claims.rescue(db_now())

    engine.push("akave")

    assert service().called("store") == 2
    assert len(service().objects) == 1
    assert DataUnion.objects.get().entry("akave").is_synced


# --- decisions


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


# --- what a step answers


def test_a_key_that_a_step_answers_with_none_is_deleted() -> None:
    record = hand_in()
    service().plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    saved = {**claims.open_saved(job_of(record)), "unknown_to_steps": 1}
    sealed = claims.seal_saved(record.pk, "akave", saved)
    SyncJob.objects.filter(record=record, partner="akave").update(kind="revoke", step="", saved=sealed, due_at=ago(1))

    engine.push("akave")

    kept = DataUnion.objects.get().retry_data("akave")
    assert "secret" not in kept
    assert kept["unknown_to_steps"] == 1


def test_a_rewind_goes_back_to_the_step_with_its_changes(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Rewinds")
    record = hand_in()
    engine.push("x")
    job = job_of(record, "x")
    assert (job.status, job.step, job.attempts) == (Status.PENDING, "keys", 0)
    assert 28 < seconds_to(job) <= 30
    assert "id" not in claims.open_saved(job)

    make_due(record, "x")
    engine.push("x")

    assert [step for step, _ in service("x").calls] == ["keys", "store", "confirm"] * 2
    assert DataUnion.objects.get().entry("x").is_synced


@pytest.mark.parametrize("nonsense", [None, "text", 7, ["list"], {"raw": b"bytes"}, {"self": object()}])
def test_a_step_that_answers_nonsense_fails_its_own_job_only(settings: Any, nonsense: Any) -> None:
    settings.PARTNERS = partners_of(x="Answers")
    hand_in()
    good = hand_in("b")
    adapters.Answers.answer = lambda item: {"got": 1} if item.data_id == "b" else nonsense

    engine.push("x")

    [failed] = SyncJob.objects.filter(partner="x")
    assert (failed.status, failed.error_class, failed.record.data_id) == (Status.FAILED, "internal", "a")
    good.refresh_from_db()
    assert good.entry("x").receipt == {"got": 1}


def test_a_receipt_that_is_no_json_fails_the_job(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="BadReceipt")
    record = hand_in()

    engine.push("x")

    job = job_of(record, "x")
    assert (job.status, job.error_class, job.step) == (Status.FAILED, "internal", "finished")


def test_a_step_for_many_is_called_once_for_the_chunk(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Many")
    adapters.Many.chunks.clear()
    for name in "abc":
        hand_in(name)

    engine.push("x")

    assert adapters.Many.chunks == [3]
    assert SyncJob.objects.filter(partner="x").count() == 0


@pytest.mark.parametrize("answers", [lambda items: {}, lambda items: 1 / 0])
def test_a_step_for_many_that_breaks_fails_its_jobs(settings: Any, answers: Any) -> None:
    settings.PARTNERS = partners_of(x="Many")
    hand_in()
    kept, adapters.Many.answers = adapters.Many.answers, answers

    engine.push("x")

    adapters.Many.answers = kept
    assert SyncJob.objects.values_list("status", "error_class").get(partner="x") == (Status.FAILED, "internal")


# --- leases


def test_a_lease_lost_in_mid_chunk_stops_that_job_only() -> None:
    lost, kept = hand_in("a"), hand_in("b")
    stolen: list[dict[str, Any]] = []

    def steal_it(item: Any) -> None:
        if item.data_id == "a":
            at_once(lambda: stolen.append(vars(steal(job_of(lost)))))

    service().plan("store", steal_it, steal_it, when="after")

    engine.push("akave")

    job = job_of(lost)
    assert (job.lease_token, job.status, job.step) == ("another", Status.RUNNING, "store")
    assert [name for step, name in service().calls if step == "confirm"] == [str(kept.pk)]
    kept.refresh_from_db()
    assert kept.entry("akave").is_synced
    assert SyncAttempt.objects.count() == 1


def test_a_job_lost_before_its_error_is_told_keeps_the_new_owners_state() -> None:
    record = hand_in()

    def steal_it(item: Any) -> None:
        at_once(lambda: steal(job_of(record)))
        raise TransientError("akave: store: HTTP 503")

    service().plan("store", steal_it)

    engine.push("akave")

    job = job_of(record)
    assert (job.lease_token, job.error_message, job.attempts) == ("another", "", 0)
    assert SyncAttempt.objects.count() == 0


def test_leases_are_renewed_while_a_step_runs() -> None:
    record = hand_in()
    leases: list[Any] = []

    def watch(item: Any) -> None:
        first = at_once(lambda: job_of(record).lease_until)[0]
        deadline = db_now() + timedelta(seconds=20)
        while at_once(lambda: job_of(record).lease_until)[0] == first and at_once(db_now)[0] < deadline:
            pass
        leases.extend([first, at_once(lambda: job_of(record).lease_until)[0]])

    service().plan("store", watch)

    with settings_of(sync_lease_s=3.0):
        engine.push("akave")

    assert leases[1] > leases[0]
    assert DataUnion.objects.get().entry("akave").is_synced


def test_a_job_that_waits_for_a_later_step_and_is_lost_takes_no_step() -> None:
    waiting = hand_in("b")
    service().plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    make_due(waiting)
    hand_in("a")
    renewed: list[Any] = []

    def lose_the_other(item: Any) -> None:
        at_once(lambda: steal(job_of(waiting)))
        first = at_once(lambda: SyncJob.objects.get(record_id=item.record_id, partner="akave").lease_until)[0]
        deadline = at_once(db_now)[0] + timedelta(seconds=20)
        while at_once(db_now)[0] < deadline:
            now = at_once(lambda: SyncJob.objects.get(record_id=item.record_id, partner="akave").lease_until)[0]
            if now > first:
                renewed.append(now)
                return

    service().plan("store", lose_the_other)
    confirmed = service().called("confirm")

    with settings_of(sync_lease_s=3.0):
        engine.push("akave")

    assert len(renewed) == 1
    assert service().called("confirm") == confirmed + 1
    assert job_of(waiting).lease_token == "another"
