"""One act is stopped before any of its writes, another is done meanwhile, then the first goes on: nothing is lost.

Where there are no transactions, that is: elsewhere the database lets one wait for the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count, product
from random import Random
from typing import Any

import pytest
from django.conf import settings

from dataunion import claims, reconcile, retries
from dataunion.clock import db_now
from dataunion.endings import Ending
from dataunion.models import DataUnion, SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from dataunion.sync.tick import tick
from partners.errors import BlockedError, PermanentError, TransientError
from partners.testing import FakePartner
from tests.dataunion.work import FAILURE, ago, attempt, done, expire, hand_in, service, set_partner
from tests.faults import model
from tests.faults.chronicle import Chronicle
from tests.faults.crashes import Point, crashing, meanwhile
from tests.faults.elapse import elapse
from tests.faults.look import read_pairs
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated
from tests.faults.untransacted import without_transactions

PAYLOAD = json.dumps({"note": MARKER}).encode()
as_on_mongodb = nullcontext if settings.MONGODB else without_transactions


def in_thread(act: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], None]:
    """Return an act for another thread, whose connection has no transactions either."""

    def do() -> None:
        with as_on_mongodb():
            act(*args, **options)

    return do


@pytest.fixture
def record(database: str) -> Iterator[DataUnion]:
    """Give a record that only akave takes."""
    set_partner("vana", state="off")
    with as_on_mongodb():
        yield hand_in(payload=PAYLOAD)


@pytest.mark.parametrize("point", ["syncjobs insert 1", "syncjobs insert 1 after", "dataunions update 1"])
def test_a_word_that_came_while_another_was_being_said_is_kept(record: DataUnion, point: str) -> None:
    engine.push("akave")
    said = in_thread(DataUnion.objects.get().update_partner_sync, "akave", True, None, {"id": "by hand"})

    with meanwhile(point, said) as pause:
        record.update_partner_sync("akave", False, "akave: it is gone")

    assert pause.happened
    assert DataUnion.objects.get().retry_data("akave") == {"id": "by hand"}
    assert SyncJob.objects.values_list("status", "error_message").get() == ("failed", "akave: it is gone")
    assert_nothing_violated(Evidence(told=[(record.pk, "akave")]))


# --- any two acts

Act = Callable[[], Any]


def claimed(record: DataUnion) -> SyncJob:
    [job] = claims.claim("akave", limit=1)
    assert job.record_id == record.pk
    return job


def end(job: SyncJob, name: str) -> Act:
    """Return how the worker of this job lets go of it."""
    facts = {"number": job.runs + 1, "started_at": db_now().isoformat()}
    if name == "done":
        ending = done(attempt=attempt(**facts))
    else:
        error = {"error_class": "transient", "error_message": "akave: store: HTTP 503"}
        failure = attempt(FAILURE.outcome, **facts, **error)
        ending = Ending(status=Status.RETRYING, due_at=ago(1), attempt=failure, spends_attempt=True)
    return lambda: claims.settle([(job, ending)], db_now())


def fail(record: DataUnion, error: Exception) -> None:
    service().plan("store", error)
    engine.push("akave")


def leave_untold(record: DataUnion) -> None:
    """Leave what a worker leaves that died when it had committed."""
    job = claimed(record)
    with crashing("dataunions update 1") as trap:
        end(job, "done")()
    assert trap.happened
    expire(job)


BEGINNINGS: dict[str, Callable[[DataUnion], Any]] = {
    "pending": lambda record: None,
    "running": claimed,
    "abandoned": lambda record: expire(claimed(record)),
    "untold": leave_untold,
    "retrying": lambda record: fail(record, TransientError("akave: store: HTTP 503", http_status=503)),
    "failed": lambda record: fail(record, PermanentError("akave: store: HTTP 400", http_status=400)),
    "blocked": lambda record: fail(record, BlockedError("akave: store: no consent")),
    "synced": lambda record: engine.push("akave"),
}


def say(record: DataUnion, *words: Any) -> Act:
    return lambda: DataUnion.objects.get(pk=record.pk).update_partner_sync("akave", *words)


def worker(record: DataUnion, act: Callable[[SyncJob], Act]) -> Act:
    """Return what whoever had the job at the beginning does with it, whether it is still theirs or not."""
    job = SyncJob.objects.filter(record=record).first() or SyncJob(record=record, partner="akave", runs=0)
    return act(job)


ACTS: dict[str, Callable[[DataUnion], Act]] = {
    "push": lambda record: lambda: engine.push("akave"),
    "settle done": lambda record: worker(record, lambda job: end(job, "done")),
    "settle retry": lambda record: worker(record, lambda job: end(job, "retry")),
    "save": lambda record: worker(record, lambda job: lambda: claims.save_step([job], "", db_now())),
    "tick": lambda record: tick,
    "audit": lambda record: lambda: reconcile.audit(db_now()),
    "say true": lambda record: say(record, True, None, {"id": "by hand"}),
    "say false": lambda record: say(record, False),
    "say failed": lambda record: say(record, False, "akave: it is gone"),
    "retry": lambda record: worker(record, lambda job: lambda: retries.retry_job(job, by="ann")),
    "retry run": lambda record: lambda: retries.start_run({"partner": "akave"}, by="bob"),
    "bring forward": lambda record: lambda: claims.bring_forward([record.pk], ["akave"], db_now()),
}
PAIRS = list(product(BEGINNINGS, ACTS))
WANTED = None if "FAULTS_EXAMPLES" in os.environ else 1 if settings.MONGODB else 4


def recover() -> None:
    for _ in range(8):
        if not SyncJob.objects.exists():
            return
        elapse(4000)
        tick()
        reconcile.audit(db_now())
        retries.start_run({"partner": "akave"}, by="carol")
        engine.push("akave")


def begin(name: str, beginning: str) -> DataUnion:
    """Make a record that is old enough for the audit, and bring it where the acts begin."""
    record = hand_in(name, payload=PAYLOAD)
    DataUnion.objects.filter(pk=record.pk).update(created_at=ago(600))
    FakePartner.reset()
    BEGINNINGS[beginning](record)
    SyncJob.objects.update(due_at=ago(1))
    return record


@pytest.mark.parametrize("first", ACTS)
def test_an_act_that_another_one_interrupts_anywhere_loses_nothing(database: str, first: str) -> None:
    set_partner("vana", state="off")
    chosen = PAIRS if WANTED is None else Random(first).sample(PAIRS, WANTED)
    with as_on_mongodb(), Chronicle() as chronicle:
        for beginning, second in chosen:
            for number in count(1):
                record = begin(f"{beginning} {first} {number} {second}", beginning)
                act, other = ACTS[first](record), in_thread(ACTS[second](record))
                with meanwhile(Point(number=number), other) as pause:
                    act()
                faults = [fault for pair in read_pairs().values() for fault in model.find_faults(pair)]
                assert not faults, (beginning, first, number, second, faults, read_pairs())
                recover()
                assert not SyncJob.objects.exists(), (beginning, first, number, second, read_pairs())
                if not pause.happened:
                    break
        told = [(pk, "akave") for pk in DataUnion.objects.values_list("pk", flat=True)]
        assert_nothing_violated(Evidence(chronicle=chronicle, told=told))
