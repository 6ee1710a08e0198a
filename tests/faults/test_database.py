"""The database fails in every write and read of every flow, done or not: nothing is lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest
from django.db import DatabaseError, connection
from django.test import override_settings

from dataunion import claims, reports, retries
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncAttempt, SyncJob
from dataunion.state import LIVE, Outcome
from dataunion.sync import engine
from dataunion.sync.tick import tick, upkeep
from tests.faults.elapse import elapse
from tests.faults.oracle import Evidence, assert_nothing_violated
from tests.faults.union import Union, register
from tests.faults.unsure import DONE, READ, UNDONE, failing

PARTNER = {"akave": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {}}}
Act = Callable[[DataUnion], Any]
Given = TypeVar("Given")


@pytest.fixture(autouse=True)
def one_partner() -> Iterator[None]:
    """Let there be one partner, in memory: what is tried here is our own writing."""
    with override_settings(PARTNERS=PARTNER):
        yield


def push(record: DataUnion) -> None:
    engine.push("akave")


def claim_and_die(record: DataUnion) -> None:
    """Be a worker that dies once; twice would be poison."""
    if SyncJob.objects.filter(record=record, crashes=0).exists():
        claims.claim("akave", limit=50)
    elapse(100)
    tick()


def fail(record: DataUnion) -> None:
    reports.report_sync(record=record, partner="akave", is_synced=False, error_message="it is not there")


def report(record: DataUnion) -> None:
    reports.report_sync(record=record, partner="akave", is_synced=True)


def take_back(record: DataUnion) -> None:
    reports.report_sync(record=record, partner="akave", is_synced=False)


def reopen(record: DataUnion) -> None:
    claims.reopen(SyncJob.objects.filter(record=record), trigger="staff", priority=LIVE, now=db_now())


def retry(record: DataUnion) -> None:
    retries.start_run({"partner": "akave"}, by="staff")
    retries.advance_all(db_now())


# Each flow's acts with a record that was handed in, and the kinds of failure that are tried in it.
FLOWS: dict[str, tuple[Act, ...]] = {
    "push": (push,),
    "tick": (lambda record: tick(),),
    "upkeep": (lambda record: upkeep(),),
    "rescue": (claim_and_die,),
    "report": (fail, report, take_back),
    "reopen": (fail, reopen),
    "retry run": (fail, retry),
}
CASES = [(name, kind) for name in FLOWS for kind in (UNDONE, DONE)]
CASES += [("push", READ), ("tick", READ)]


def survive(act: Callable[[], Any]) -> Any:
    """Do something as a task or a request does: a failing database ends it, and nothing else."""
    try:
        return act()
    except DatabaseError:
        leave_if_broken()
        return None


def leave_if_broken() -> None:
    """Let go of a connection that died, as Django does before the next task or request. One that lives is kept."""
    if connection.errors_occurred and not connection.is_usable():
        connection.close()


def hand_in(data_id: str) -> DataUnion:
    """Hand in again and again until it is taken, as a client does; it is due at once."""
    while True:
        record = survive(lambda: register(data_id))
        if record is not None:
            return record


def try_each(kind: str, prepare: Callable[[int], Given], act: Callable[[Given], Any]) -> int:
    """Do the same with the first statement failing, the second, until none is left; return how many were tried."""
    number = 0
    while True:
        number += 1
        given = prepare(number)
        with failing(kind, number) as fault:
            act(given)
        if not fault.failed:
            return number
        elapse(100)
        tick()  # the next one works
        act(given)  # whoever was told of a failure asks again
        engine.push("akave")  # or the next record's worker would die of this one as well, which is poison


def settle_and_check(count: int) -> None:
    """Let the work go on to its end without a fault: all records are where they belong, and nothing was blamed."""
    elapse(1000)
    upkeep()  # without transactions a word may be half said; its caller was told that it was not heard
    Union(None).settle("akave")  # type: ignore[arg-type]
    upkeep()
    records = list(DataUnion.objects.all())
    assert len(records) == count
    assert all(record.entry("akave").is_synced for record in records)
    assert not SyncJob.objects.exists()
    assert not SyncAttempt.objects.filter(outcome__in=(Outcome.INTERNAL, Outcome.MISCONFIGURED)).exists()
    assert_nothing_violated(Evidence())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_flow_survives_a_failure_of_each_statement(name: str, kind: str) -> None:
    def act(record: DataUnion) -> None:
        for one in FLOWS[name]:
            survive(partial(one, record))

    count = try_each(kind, lambda number: hand_in(f"id-{number}"), act)

    assert count > 1
    settle_and_check(count)


@pytest.mark.parametrize("kind", [UNDONE, DONE, READ])
def test_what_is_handed_in_again_is_one_record(kind: str) -> None:
    count = try_each(kind, lambda number: f"id-{number}", hand_in)

    assert count > 1
    settle_and_check(count)
