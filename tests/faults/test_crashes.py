"""The tool that stops the program: it stops it where it is told to, and leaves what was committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from dataunion import claims
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncAttempt, SyncJob
from tests.dataunion.work import done, hand_in, set_partner
from tests.faults.crashes import VARIABLE, Crash, Point, crash_before, crashing, find_commit, meanwhile
from tests.flows.house import ROOT

WORK = "import django; django.setup(); from dataunion.sync import engine; engine.push('akave')"


def work_in_a_process(database: str, crash: str) -> int:
    """Be a worker of akave, which is a FakePartner, in a process of its own; return its status."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        "DATABASE_URL": database,
        "DATAUNION_PARTNERS": "akave",
        "AKAVE_BACKEND": "partners.testing.FakePartner",
        VARIABLE: crash,
    }
    return subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, env=env, timeout=60, check=False).returncode


def facts() -> tuple[Any, ...]:
    """Return what stands: the job, the record's entry, the attempts."""
    jobs = list(SyncJob.objects.filter(partner="akave").values_list("status", "step"))
    return jobs, DataUnion.objects.get().entry("akave").is_synced, SyncAttempt.objects.count()


COMMIT = find_commit()
SYNCED: tuple[Any, ...] = ([], True, 1)
CLAIMED: tuple[Any, ...] = ([("running", "")], False, 0)
DRAWN: tuple[Any, ...] = ([("running", "store")], False, 0)
STORED: tuple[Any, ...] = ([("running", "confirm")], False, 0)


@pytest.mark.parametrize(
    ("crash", "left"),
    [
        ("syncjobs update 1 after", CLAIMED),
        ("syncjobs.saved update 1", CLAIMED),
        # SQL stores the chunk's steps in one transaction, which is not over yet.
        ("syncjobs.saved update 2 after", STORED if connection.vendor == "mongodb" else DRAWN),
        (COMMIT, STORED),
    ],
)
def test_a_worker_process_dies_at_the_point_that_is_named(database: str, crash: str, left: tuple[Any, ...]) -> None:
    hand_in()

    assert work_in_a_process(database, crash) == -signal.SIGKILL

    assert facts() == left


def test_a_worker_process_goes_on_where_the_point_never_comes(database: str) -> None:
    hand_in()

    assert work_in_a_process(database, "syncjobs update 99") == 0

    assert facts() == SYNCED


@pytest.mark.parametrize(
    ("crash", "left_without_transaction"),
    [
        (COMMIT, ([("running", "")], False, 0)),
        (f"{COMMIT} after", ([("done", "")], False, 0)),
        ("dataunions update 1 after", ([("done", "")], True, 0)),
        ("syncattempts insert 1 after", ([("done", "")], True, 1)),
        ("remoterefs insert 1 after", ([("done", "")], True, 1)),
    ],
)
def test_a_move_ends_in_between_only_where_there_is_no_transaction(
    crash: str, left_without_transaction: tuple[Any, ...]
) -> None:
    hand_in()
    [job] = claims.claim("akave", limit=1)

    with crashing(crash) as trap:
        claims.settle([(job, done())], db_now())

    assert trap.happened
    assert facts() == (left_without_transaction if connection.vendor == "mongodb" else CLAIMED)


def test_the_writes_of_a_move_can_be_counted() -> None:
    hand_in()
    [job] = claims.claim("akave", limit=1)

    with crashing(Point(number=0)) as trap:
        claims.settle([(job, done())], db_now())

    assert (trap.happened, trap.seen) == (False, 5 if connection.vendor == "mongodb" else 4)
    assert facts() == SYNCED


def test_who_is_dead_writes_nothing_more() -> None:
    set_partner()
    hand_in()
    before = SyncJob.objects.values().get(partner="akave")

    with crash_before(1) as trap:
        try:
            SyncJob.objects.update(runs=7)
        finally:
            SyncJob.objects.update(runs=8)

    assert trap.happened
    assert SyncJob.objects.values().get(partner="akave") == before


def test_a_statement_of_many_rows_stops_within_where_it_is_not_atomic() -> None:
    hand_in()

    with crashing("syncjobs update 1 within"):
        SyncJob.objects.update(runs=7)

    assert SyncJob.objects.filter(runs=7).count() == (1 if connection.vendor == "mongodb" else 0)


def test_the_connection_is_as_before_afterwards() -> None:
    hand_in()
    with crash_before(1):
        SyncJob.objects.update(runs=7)

    SyncJob.objects.update(runs=8)

    assert set(SyncJob.objects.values_list("runs", flat=True)) == {8}


def test_what_happens_meanwhile_happens_between_two_writes() -> None:
    hand_in()
    seen: list[Any] = []

    with meanwhile("syncjobs update 2", lambda: seen.append(sorted(SyncJob.objects.values_list("runs", "crashes")))):
        SyncJob.objects.update(runs=7)
        SyncJob.objects.update(crashes=1)

    assert seen == [[(7, 0), (7, 0)]]
    assert sorted(SyncJob.objects.values_list("runs", "crashes")) == [(7, 1), (7, 1)]


def test_a_crash_of_somebody_else_is_not_taken_for_ours() -> None:
    def crash_elsewhere() -> None:
        with crash_before(1):
            raise Crash

    with pytest.raises(Crash):
        crash_elsewhere()


@pytest.mark.parametrize("text", ["", "syncjobs", "syncjobs write 1", "syncjobs update x", "syncjobs.saved insert 1"])
def test_a_point_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should be|for update only"):
        Point.parse(text)
