"""A claimed chunk: what a step may answer, and what a lost lease stops."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from dataunion import claims
from dataunion.clock import db_now
from dataunion.models import NEVER, DataUnion, Partner, Signer, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from partners.errors import (
    TransientError,
)
from tests.dataunion.sync import adapters
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import ago, at_once, hand_in, job_of, make_due, seconds_to, service, settings_of, steal

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.parametrize(
    ("answers", "cause"), [(lambda items: {}, "KeyError in "), (lambda items: 1 / 0, "ZeroDivisionError in ")]
)
def test_a_step_for_many_that_breaks_fails_its_jobs(settings: Any, answers: Any, cause: str) -> None:
    settings.PARTNERS = partners_of(x="Many")
    hand_in()
    kept, adapters.Many.answers = adapters.Many.answers, answers

    engine.push("x")

    adapters.Many.answers = kept
    job = SyncJob.objects.get(partner="x")
    assert (job.status, job.error_class) == (Status.FAILED, "internal")
    assert job.error_message.startswith(f"Our own bug: {cause}")


def test_what_a_step_answered_is_stored_before_the_next_begins() -> None:
    record = hand_in()
    stored: list[SyncJob] = []
    service().plan("store", lambda item: stored.extend(at_once(lambda: job_of(record))))

    engine.push("akave")

    assert stored[0].step == "store"
    assert claims.open_saved(stored[0]) == {"secret": f"secret-of-{record.pk}"}


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


def test_leases_are_renewed_before_they_end_while_a_step_runs() -> None:
    record = hand_in()
    leases: list[Any] = []

    def watch(item: Any) -> None:
        first = at_once(lambda: job_of(record).lease_until)[0]
        while at_once(lambda: job_of(record).lease_until)[0] == first and at_once(db_now)[0] < first:
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


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_job_that_is_lost_while_its_step_runs_takes_no_further_step(name: str) -> None:
    lost = {"a": hand_in("a"), "b": hand_in("b")}[name]

    def lose_the_other(item: Any) -> None:
        if item.data_id == name:
            return
        at_once(lambda: steal(job_of(lost)))
        mine = SyncJob.objects.filter(record_id=item.record_id, partner="akave")
        first = at_once(lambda: mine.get().lease_until)[0]
        deadline = at_once(db_now)[0] + timedelta(seconds=20)
        while at_once(lambda: mine.get().lease_until)[0] == first and at_once(db_now)[0] < deadline:
            pass

    service().plan("store", lose_the_other, lose_the_other)

    with settings_of(sync_lease_s=3.0):
        engine.push("akave")

    assert job_of(lost).lease_token == "another"
    assert (service().called("store"), service().called("confirm")) == (2, 1)


def test_the_signers_lease_is_renewed_while_a_step_runs(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Signs")
    hand_in()
    leases: list[Any] = []

    def watch(item: Any) -> None:
        first = at_once(lambda: Signer.objects.get().lease_until)[0]
        while at_once(lambda: Signer.objects.get().lease_until)[0] == first and at_once(db_now)[0] < first:
            pass
        leases.extend([first, at_once(lambda: Signer.objects.get().lease_until)[0]])

    service("x").plan("keys", watch)

    with settings_of(sync_lease_s=3.0):
        engine.push("x")

    assert leases[1] > leases[0]


def test_others_learn_at_once_that_a_partner_wants_peace() -> None:
    hand_in("a")
    hand_in("b")
    learnt: list[bool] = []
    begun = threading.Event()

    def look(item: Any) -> None:
        if item.data_id == "a":
            begun.wait(20)
            raise TransientError("akave: store: HTTP 429", http_status=429, retry_after_s=60.0)
        begun.set()
        deadline = at_once(db_now)[0] + timedelta(seconds=10)  # a third of the lease is 15
        while not (wants := at_once(wants_peace)[0]) and at_once(db_now)[0] < deadline:
            pass
        learnt.append(wants)

    def wants_peace() -> bool:
        return Partner.objects.get(name="akave").wants_peace(db_now())

    service().plan("store", look, look)

    engine.push("akave")

    assert learnt == [True]


@pytest.mark.parametrize(("lease_s", "is_renewed"), [(0.003, True), (45.0, False)])  # a third is over at each step
def test_leases_of_jobs_that_wait_for_a_later_step_are_renewed_in_time(lease_s: float, is_renewed: bool) -> None:
    waiting = hand_in("b")
    service().plan("confirm", TransientError("akave: confirm: HTTP 503"))
    engine.push("akave")
    make_due(waiting)
    hand_in("a")
    leases: list[Any] = []
    for step in ("keys", "store"):
        service().plan(step, lambda item: leases.append(at_once(lambda: job_of(waiting).lease_until)[0]), when="after")

    with settings_of(sync_lease_s=lease_s):
        engine.push("akave")

    assert (leases[1] > leases[0], leases[1] == leases[0]) == (is_renewed, not is_renewed)
    assert SyncJob.objects.filter(partner="akave").count() == 0


def test_an_adapter_that_breaks_outside_its_steps_is_nobodys_crash(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Breaks")
    record = hand_in()

    with pytest.raises(RuntimeError, match="a bug of the adapter"):
        engine.push("x")

    job = job_of(record, "x")
    assert (job.status, job.attempts, job.crashes, job.lease_until) == (Status.PENDING, 0, 0, NEVER)
    assert 3 < seconds_to(job) <= 5


@pytest.mark.parametrize("answer", ["half a pair \ud800", "x\x00\ud800"])
def test_an_answer_that_no_database_can_store_fails_its_own_job_only(settings: Any, answer: str) -> None:
    settings.PARTNERS = partners_of(x="OddRefs")
    odd = hand_in("odd")
    good = hand_in("good")
    adapters.OddRefs.odd = (str(odd.pk), answer)

    engine.push("x")

    assert SyncJob.objects.values_list("status", "error_class", "record_id").get(partner="x") == (
        Status.FAILED,
        "nonsense",
        odd.pk,
    )
    assert SyncAttempt.objects.values_list("step", "error_class").get(record=odd, outcome="permanent") == (
        "finished",
        "nonsense",
    )
    good.refresh_from_db()
    assert good.entry("x").is_synced


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800", "x" * 9000])
def test_an_error_message_is_cut_to_what_every_database_can_store(text: str) -> None:
    record = hand_in()
    service().plan("store", TransientError(text, code=text))

    engine.push("akave")

    job = job_of(record)
    assert job.status == Status.RETRYING
    assert len(job.error_message) <= 2000
    assert DataUnion.objects.get().entry("akave").error_message == job.error_message
