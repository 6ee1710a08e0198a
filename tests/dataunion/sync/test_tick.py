"""The clock: one worker at a time, who takes back what was left and nudges where work is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import current_app

from dataunion import claims, stats
from dataunion.clock import db_now
from dataunion.models import Counters, DataUnion, HourStat, Incident, Partner, RetryRun, SyncAttempt, SyncJob, TaskLease
from dataunion.sync import dispatch, tick
from tests.dataunion.sync.nudges import Nudges
from tests.dataunion.work import ago, ahead, at_once, expire, hand_in, make_job, set_partner, settings_of
from tests.factories import IncidentFactory, SyncAttemptFactory

pytestmark = pytest.mark.django_db(transaction=True)


# --- the lease


def test_one_worker_at_a_time_holds_a_periodic_task() -> None:
    with tick.hold("tick", 60) as first, tick.hold("tick", 60) as second:
        assert isinstance(first, datetime)
        assert second is None


def test_letting_go_notes_when_it_ran() -> None:
    with tick.hold("tick", 60) as now:
        pass

    assert TaskLease.objects.values_list("ran_at", flat=True).get() == now
    with tick.hold("tick", 60) as again:
        assert again is not None


def test_a_task_that_broke_lets_go_all_the_same() -> None:
    with pytest.raises(RuntimeError), tick.hold("tick", 60):
        raise RuntimeError

    with tick.hold("tick", 60) as again:
        assert again is not None


def test_a_lease_whose_holder_died_is_taken_over_and_not_given_back_by_it() -> None:
    with tick.hold("tick", 60):
        TaskLease.objects.update(until=ago(1))
        with tick.hold("tick", 60) as second:
            assert second is not None
        held = TaskLease.objects.values_list("token", "until").get()
        TaskLease.objects.update(token="third", until=ahead(60))

    assert held[0] != "third"
    assert TaskLease.objects.get().until > db_now()


def test_other_tasks_have_leases_of_their_own() -> None:
    with tick.hold("tick", 60), tick.hold("upkeep", 60) as other:
        assert other is not None


def test_of_many_who_tick_at_once_the_work_is_done_once() -> None:
    hand_in()
    jobs = claims.claim("akave", limit=1)
    expire(*jobs)

    assert at_once(*[tick.tick] * 4) == [None] * 4

    assert SyncAttempt.objects.count() == 1
    assert SyncJob.objects.get(partner="akave").crashes == 1
    assert Counters.objects.get().counts["records"] == 1
    assert TaskLease.objects.count() == 1


# --- a tick


def test_a_tick_rescues_folds_and_takes_runs_further(caplog: pytest.LogCaptureFixture) -> None:
    hand_in("a")
    [job] = claims.claim("akave", limit=1)
    expire(job)
    make_job(status="failed", changed_at=ago(60))
    RetryRun.objects.create(filter={"partner": "akave", "status": "failed"}, asked_by="ann")

    tick.tick()

    assert SyncJob.objects.filter(status="running").count() == 0
    assert SyncJob.objects.filter(status="failed").count() == 0
    assert stats.fold() == 0
    assert RetryRun.objects.get().state == "done"
    [told] = [r for r in caplog.records if r.message == "sync.job.rescued"]
    assert (told.partner, told.job, told.crashes) == ("akave", str(job.pk), 1)


def test_a_tick_nudges_where_work_is_due(nudges: Nudges) -> None:
    make_job()
    set_partner()

    tick.tick()

    assert nudges.sent() == [("akave", "sync.fake")]


def test_a_tick_brings_nearer_what_a_clock_that_ran_ahead_put_off(caplog: pytest.LogCaptureFixture) -> None:
    then = ahead(3600)
    job = make_job(changed_at=then, due_at=then + timedelta(hours=1))
    set_partner(not_before=then + timedelta(minutes=30))

    before = db_now()
    tick.tick()
    after = db_now()

    job.refresh_from_db()
    assert before <= job.due_at - timedelta(hours=1) <= after
    assert before <= Partner.objects.get(name="akave").not_before - timedelta(minutes=30) <= after
    [told] = [r for r in caplog.records if r.message == "clock.went.back"]
    assert then - after <= timedelta(seconds=told.seconds + 0.5)
    assert timedelta(seconds=told.seconds - 0.5) <= then - before


def test_a_tick_that_another_worker_holds_does_nothing() -> None:
    hand_in()
    expire(*claims.claim("akave", limit=1))

    with tick.hold("tick", 60):
        tick.tick()

    assert SyncJob.objects.filter(status="running").count() == 1


def test_a_part_of_a_tick_that_breaks_keeps_no_other_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    hand_in()
    RetryRun.objects.create(filter={"created_at__lte": "no time"}, asked_by="ann")
    expire(*claims.claim("akave", limit=1))

    tick.tick()

    [told] = [r for r in caplog.records if r.message == "tick.failed"]
    assert told.part == "retry runs"
    assert SyncJob.objects.filter(status="running").count() == 0


def test_a_row_that_cannot_be_published_holds_up_no_other_rescue(caplog: pytest.LogCaptureFixture) -> None:
    hand_in("a")
    strange = make_job(status="retrying", lease_until=ago(60), outcome={"entry": "no entry"})
    expire(*claims.claim("akave", limit=1))

    tick.tick()

    assert list(SyncAttempt.objects.values_list("outcome", flat=True)) == ["crashed"]
    assert SyncJob.objects.filter(status="running").count() == 0
    assert [r.job for r in caplog.records if r.message == "sync.job.unpublished"] == [str(strange.pk)]


# --- nudges


def test_each_partner_is_nudged_as_often_as_its_due_work_wants(nudges: Nudges) -> None:
    for _ in range(5):
        make_job()
    make_job(partner="vana", due_at=ahead(60))
    set_partner("vana")

    with settings_of(sync_chunk=2):
        tick.nudge_due(db_now())

    assert nudges.sent() == [("akave", "sync.fake")] * 3


def test_a_partner_without_due_work_can_be_nudged_later(nudges: Nudges) -> None:
    set_partner("akave")
    tick.nudge_due(db_now())
    make_job()

    tick.nudge_due(db_now())

    assert nudges.sent() == [("akave", "sync.fake")]


@pytest.mark.parametrize("change", [{"state": "paused"}, {"state": "off"}, {"not_before": None}])
def test_a_partner_that_takes_nothing_is_not_nudged(nudges: Nudges, change: dict[str, Any]) -> None:
    make_job()
    set_partner("akave", **({"not_before": ahead(60)} if "not_before" in change else change))

    tick.nudge_due(db_now())

    assert nudges.sent() == []


def test_whoever_made_work_due_nudges_every_partner_that_is_on(nudges: Nudges) -> None:
    set_partner("akave")
    set_partner("vana", state="paused")

    tick.nudge_partners()

    assert nudges.sent() == [("akave", "sync.fake")]


def test_whoever_made_work_due_for_one_nudges_that_one(nudges: Nudges) -> None:
    set_partner("akave")

    tick.nudge_partners({"vana"})

    assert nudges.sent() == [("vana", "sync.fake")]


def test_completing_a_requirement_nudges_those_who_waited(nudges: Nudges, settings: Any) -> None:
    from dataunion.sync import engine
    from tests.dataunion.sync.adapters import partners_of

    settings.PARTNERS = partners_of(second="NeedsAkave")
    hand_in()
    engine.push("second")
    nudges.sent()

    engine.push("akave")

    assert nudges.sent() == [("second", "sync.fake")]


# --- upkeep


def test_upkeep_rolls_up_prunes_and_audits() -> None:
    SyncAttemptFactory(created_at=db_now() - timedelta(minutes=1))
    SyncAttemptFactory(created_at=db_now() - timedelta(days=91))
    IncidentFactory(state="over", ended_at=db_now() - timedelta(days=91))
    hand_in()
    DataUnion.objects.filter(data_id="a").update(created_at=ago(600))
    SyncJob.objects.filter(partner="akave").delete()

    tick.upkeep()

    assert SyncAttempt.objects.count() == 1
    assert Incident.objects.filter(state="over").count() == 0
    assert HourStat.objects.get().count == 1
    assert SyncJob.objects.get(partner="akave").trigger == "audit"


def test_upkeep_that_another_worker_holds_does_nothing() -> None:
    SyncAttemptFactory(created_at=db_now() - timedelta(days=91))

    with tick.hold("upkeep", 60):
        tick.upkeep()

    assert SyncAttempt.objects.count() == 1


# --- alerts


def test_upkeep_looks_for_alerts() -> None:
    set_partner(state="paused", state_by="system", state_reason="akave: check: answered 401")

    tick.upkeep()

    assert "stopped akave" in Incident.objects.values_list("slot", flat=True)


@pytest.mark.parametrize(("seconds", "looks"), [(80, False), (95, True), (-200, True)])
def test_whoever_lives_looks_where_upkeep_has_not_for_a_while(seconds: float, looks: bool) -> None:
    set_partner(state="paused", state_by="system")
    TaskLease.objects.create(name="alerts", ran_at=ago(seconds))

    tick.alert_if_late()

    assert Incident.objects.filter(slot="stopped akave").exists() is looks


def test_two_that_look_at_once_note_one_incident() -> None:
    set_partner(state="paused", state_by="system")

    assert at_once(tick.alert, tick.alert, tick.alert) == [None] * 3
    assert Incident.objects.filter(rule="stopped").count() == 1


# --- the door to Celery


def test_every_task_that_is_sent_by_name_is_there() -> None:
    import dataunion.tasks  # noqa: F401 - registers them

    assert {"dataunion.push", "dataunion.tick", "dataunion.upkeep"} <= set(current_app.tasks)
    assert dispatch.PUSH in current_app.tasks


def test_the_tasks_do_what_they_are_called() -> None:
    from dataunion import tasks

    hand_in()

    tasks.push("akave")
    tasks.tick()
    tasks.upkeep()

    assert DataUnion.objects.get().entry("akave").is_synced
    assert Counters.objects.get().counts["records"] == 1
    assert set(TaskLease.objects.values_list("name", flat=True)) == {"alerts", "tick", "upkeep"}
