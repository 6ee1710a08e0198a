"""A disk without room, for the database, the log and temporary files: nothing untrue is told, and it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection
from django.test import Client

from dataunion import access
from dataunion.models import DataUnion, HealthData, SyncAttempt
from tests.faults.test_database import survive
from tests.faults.test_database_away import assert_told_to_come_back, hand_in_by_rest
from tests.faults.union import PARTNERS, Union
from tests.flows.house import House, eventually

ROOM_BYTES = 30_000
BIG = "x" * 200_000


@contextmanager
def no_room() -> Iterator[None]:
    """Have the database's file be as long as may be, for this process."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # no free page is left
        cursor.execute("PRAGMA max_page_count = 1")  # which means: as many as there are
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1000000")


@pytest.mark.sqlite_only("file")
def test_a_full_database_is_answered_503_and_can_still_be_read(database: str) -> None:
    key = access.make_key(name="service", scopes=["admin"])[1]
    assert hand_in_by_rest(key, "before").status_code == 201

    with no_room():
        assert_told_to_come_back(hand_in_by_rest(key, big=BIG))
        listed = Client(headers={"Authorization": f"Bearer {key}"}).get("/api/v1/records").json()["results"]

    assert [record["data_id"] for record in listed] == ["before"]
    assert (DataUnion.objects.count(), HealthData.objects.count()) == (1, 1)
    assert hand_in_by_rest(key, big=BIG).status_code == 201


@pytest.mark.sqlite_only("file")
def test_nothing_is_called_synced_that_a_full_database_could_not_note(union: Union, database: str) -> None:
    record = union.hand_in()
    union.tick()

    with no_room():
        with pytest.raises(OperationalError, match="full"):
            DataUnion.objects.filter(pk=record.pk).update(partners={"x": BIG})
        for _ in range(3):
            survive(lambda: union.push("akave", "hook"))
            survive(union.tick)
        for partner in PARTNERS:
            noted = SyncAttempt.objects.filter(partner=partner, outcome="synced").exists()
            assert union.entry(record, partner)["is_synced"] is noted

    union.settle()
    assert union.is_synced(record)
    assert not SyncAttempt.objects.filter(outcome__in=("internal", "misconfigured", "permanent")).exists()
    union.check()


@pytest.mark.sqlite_only("file")
def test_a_worker_whose_files_have_no_room_lives_says_so_and_loses_nothing(house: House, union: Union) -> None:
    record = union.hand_in()
    log = house.logs / "all.log"
    log.unlink(missing_ok=True)
    house.start("beat")
    house.start("all", env={"FAULTS_FILE_BYTES": str(ROOM_BYTES)})

    eventually(lambda: log.exists() and b"OperationalError" in log.read_bytes())
    assert house.has_ended("all") is None
    house.stop("all")
    assert not union.is_synced(record, "akave")
    union.check(at_rest=False)

    house.start("all")
    eventually(lambda: union.is_synced(record))
    union.check(logs=[house.logs])


def test_processes_whose_log_and_temporary_files_have_no_room_lose_nothing(house: House, union: Union) -> None:
    names = ("all", "beat")
    logs = [house.logs / f"{name}.log" for name in names]
    for log in logs:
        log.unlink(missing_ok=True)
        log.symlink_to("/dev/full")
    try:
        house.start(*names, env={"TMPDIR": "/dev/full/none"})
        record = union.hand_in()
        eventually(lambda: union.is_synced(record))
        assert [house.has_ended(name) for name in names] == [None, None]
        house.stop_workers()
    finally:
        for log in logs:
            log.unlink()
    union.check(logs=[house.logs])
