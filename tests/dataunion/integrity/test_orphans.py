"""Jobs and data without a record: deleted after the time of grace, whoever is off or paused, and never before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from dataunion import ingest, reconcile
from dataunion.clock import db_now
from dataunion.integrity import orphans
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import PAYLOADS, CheckIn, DataUnion, HealthData, SyncAttempt, SyncJob
from tests.dataunion.work import ago, ahead, hand_in, set_partner
from tests.factories import HealthDataFactory, SyncAttemptFactory

pytestmark = pytest.mark.django_db(transaction=True)


def audit(**options: Any) -> Findings:
    return reconcile.audit_slice(db_now(), **options)


def made_at(moment: datetime) -> None:
    for model in (SyncJob, *PAYLOADS.values()):
        model._default_manager.update(created_at=moment)


def left_behind(data_id: str = "a", **fields: Any) -> UUID:
    """Leave what an ingest leaves that died before it wrote the record."""
    record = hand_in(data_id, **fields)
    DataUnion.objects.filter(pk=record.pk).delete()
    return record.pk


@pytest.mark.parametrize("state", ["on", "off", "paused"])
def test_what_an_ingest_left_without_a_record_is_deleted_whoever_is_off(state: str) -> None:
    left_behind()
    left_behind("b", data_type="checkin")
    set_partner(state=state)
    made_at(ago(700))

    assert audit().repaired == {Kind.ORPHAN_JOB: 4, Kind.ORPHAN_DATA: 2}

    assert (SyncJob.objects.count(), HealthData.objects.count(), CheckIn.objects.count()) == (0, 0, 0)


def test_attempts_at_a_record_that_never_came_go_with_their_job() -> None:
    record = hand_in()
    SyncJob.objects.update(status="failed", crashes=2)
    for partner in ("akave", "vana"):
        SyncAttemptFactory(record=record, partner=partner, outcome="crashed")
    DataUnion.objects.all().delete()
    made_at(ago(700))

    audit()

    assert (SyncJob.objects.count(), SyncAttempt.objects.count()) == (0, 0)


def test_what_is_young_may_still_get_its_record() -> None:
    left_behind()

    assert audit().repaired == {}
    assert (SyncJob.objects.count(), HealthData.objects.count()) == (2, 1)


def test_what_was_too_young_is_looked_at_later() -> None:
    left_behind()
    audit()
    made_at(ago(700))

    assert audit().repaired == {Kind.ORPHAN_JOB: 2, Kind.ORPHAN_DATA: 1}


def test_data_with_a_record_stays() -> None:
    hand_in()
    made_at(ago(700))

    assert audit().repaired == {}
    assert HealthData.objects.count() == 1


def test_a_job_that_somebody_holds_is_left_to_them() -> None:
    left_behind()
    made_at(ago(700))
    SyncJob.objects.filter(partner="akave").update(lease_until=ahead(40), lease_token="t", status="running")

    assert audit().repaired == {Kind.ORPHAN_JOB: 1, Kind.ORPHAN_DATA: 1}
    assert SyncJob.objects.get().partner == "akave"


def test_each_row_is_looked_at_once_by_the_first_walk_and_again_by_the_second() -> None:
    for name in "abcd":
        hand_in(name)
    made_at(ago(700))
    cursors: dict[str, str] = {}

    def look() -> int:
        found = Findings(db_now())
        orphans.check_on(found, cursors, 2)
        return found.looked_at["healthdata"]

    assert [look() for _ in range(4)] == [4, 4, 0, 2]


def test_data_whose_clock_ran_far_ahead_does_not_stop_the_walk() -> None:
    hand_in("a")
    HealthData.objects.update(created_at=ahead(86400))
    left_behind("b")
    SyncJob.objects.all().delete()
    HealthData.objects.filter(data_id="b").update(created_at=ago(700))

    assert audit().repaired[Kind.ORPHAN_DATA] == 1
    assert HealthData.objects.get().data_id == "a"


def test_an_old_orphan_is_found_by_the_walk_that_goes_round() -> None:
    HealthDataFactory(id=UUID(int=1 << 80), record=hand_in(), created_at=ago(700))

    assert audit().repaired == {Kind.ORPHAN_DATA: 1}


def during_the_delete(act: Callable[[], object]) -> Any:
    """Let `act` happen right after the data was deleted, as if another process did it."""

    def wrapper(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if sql.startswith("DELETE"):
            act()
        return result

    return connection.execute_wrapper(wrapper)


@pytest.mark.sql_only("statements")
def test_data_whose_record_comes_at_the_last_moment_is_put_back() -> None:
    record = hand_in()
    DataUnion.objects.filter(pk=record.pk).delete()
    before = HealthData.objects.values().get()

    with during_the_delete(lambda: record.save(force_insert=True)):
        assert not orphans._drop_data(HealthData, record.pk)

    assert HealthData.objects.values().get() == before


def test_an_ingest_that_hung_too_long_brings_its_data_again() -> None:
    deleted, kept = hand_in("a"), hand_in("b")
    data = list(HealthData.objects.order_by("data_id"))
    HealthData.objects.filter(pk=deleted.pk).delete()

    ingest._bring_again(data, took_s=400)

    assert {row.pk for row in HealthData.objects.all()} == {deleted.pk, kept.pk}


def test_an_ingest_that_was_quick_looks_at_nothing_again() -> None:
    hand_in()
    [stored] = HealthData.objects.all()
    HealthData.objects.all().delete()

    ingest._bring_again([stored], took_s=1)

    assert HealthData.objects.count() == 0
