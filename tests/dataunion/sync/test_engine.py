"""The engine: a claimed chunk on its way through the steps."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from dataunion import claims, roster
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import dispatch, engine
from partners.errors import NotReady, TransientError
from tests.dataunion.work import ago, hand_in, job_of, make_due, service, set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_steps_run_in_so_many_threads_that_bear_the_partners_name() -> None:
    names: set[str] = set()
    for name in "abc":
        hand_in(name)
    service().plan("store", *[lambda item: names.add(threading.current_thread().name)] * 3)

    with settings_of(sync_threads=1):
        engine.push("akave")

    assert names == {"akave_0"}


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


def test_a_push_has_a_worker_come_again_when_the_next_job_is_due() -> None:
    hand_in()
    service().plan("confirm", NotReady("Not yet.", after_s=30.0))

    with settings_of(sync_tick_s=60.0):
        engine.push("akave")

    [(at, timer)] = dispatch._later.values()
    assert timer.args == ("akave", "sync.fake")
    assert 0 < at - time.monotonic() <= 30.0


def test_a_push_leaves_to_the_tick_what_is_due_no_earlier() -> None:
    hand_in()
    service().plan("confirm", NotReady("Not yet.", after_s=6.0))

    with settings_of(sync_tick_s=5.0):
        engine.push("akave")

    assert dispatch._later == {}


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
