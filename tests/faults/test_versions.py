"""Old and new workers side by side: what only the newer version knows harms nothing in the hands of the older one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection

from dataunion import stats
from dataunion.clock import db_now
from dataunion.models import NEVER, DataUnion, SyncJob
from tests.faults.elapse import elapse
from tests.faults.forks import KILLED, Forks
from tests.faults.test_kills import AFTER_LEASE_S, enrol_with
from tests.faults.union import Union
from tests.flows.house import House


def test_a_step_that_only_the_newer_version_knows_means_the_first(union: Union, forks: Forks) -> None:
    enrol_with("akave")
    record = union.hand_in()
    assert forks.run("push", "akave", crash="syncjobs.saved update 2 after") == KILLED
    SyncJob.objects.update(step="compress")

    elapse(AFTER_LEASE_S)
    union.settle("akave")

    assert union.outcomes(record, "akave") == ["crashed", "synced"]
    assert len(union.sandboxes.stored_keys()) == 1
    assert len({entry["sha256"] for entry in union.sandboxes.storage_log() if entry["method"] == "PUT"}) == 1
    union.check(logs=[forks.logs])


def test_a_status_that_only_the_newer_version_knows_is_left_alone(union: Union, house: House) -> None:
    enrol_with("akave", "hook")
    record = union.hand_in()
    other = union.hand_in("other")
    quarantined = SyncJob.objects.get(partner="akave", record=record)
    held_until = db_now() - timedelta(seconds=1)
    SyncJob.objects.filter(pk=quarantined.pk).update(status="aside", lease_token="newer", lease_until=held_until)

    union.settle("akave", "hook", until=lambda: union.is_synced(other, "akave", "hook"))

    stored = SyncJob.objects.get()
    assert (stored.pk, stored.status, stored.lease_token) == (quarantined.pk, "aside", "newer")
    totals = stats.read_totals().partners["akave"]
    assert (totals.enrolled, totals.synced, totals.pending) == (2, 1, 1)
    assert house.record(str(record.pk))["partners"]["akave"]["is_synced"] is False
    SyncJob.objects.update(status="pending", lease_token="", lease_until=NEVER)  # by the newer version
    union.settle("akave", "hook")
    union.check(logs=[house.logs])


def test_an_outcome_with_fields_of_the_newer_version_is_published_and_holds_up_nobody(
    union: Union, forks: Forks
) -> None:
    enrol_with("hook")
    newer, other = union.hand_in("newer"), union.hand_in("other")
    assert forks.run("push", "hook", crash="syncjobs update 1 after") == KILLED
    elapse(AFTER_LEASE_S)
    stored = {
        "entry": {"is_synced": False, "error_message": "a newer error", "region": "north"},
        "attempt": {
            **dict.fromkeys(("step", "error_class", "error_message", "code"), ""),
            "outcome": "transient",
            "number": 1,
            "duration_ms": 1,
            "trigger": "ingest",
            "http_status": None,
            "started_at": db_now().isoformat(),
            "carbon_g": 7,
        },
        "refs": [],
        "proof": {"kind": "newer"},
    }
    SyncJob.objects.filter(record=newer).update(status="retrying", lease_token="", runs=1, outcome=stored)

    union.tick()

    assert union.outcomes(newer, "hook") == ["transient"]
    assert union.outcomes(other, "hook") == ["crashed"]
    union.settle("hook")
    assert union.outcomes(newer, "hook") == ["transient", "synced"]
    assert union.outcomes(other, "hook") == ["crashed", "synced"]
    assert union.entry(newer, "hook")["region"] == "north"
    union.check(logs=[forks.logs])


@pytest.fixture
def later_column(database: str) -> Iterator[None]:
    """Give the tables what the newer version's migration adds."""
    if connection.vendor == "mongodb":
        yield
        return
    tables = [model._meta.db_table for model in (SyncJob, DataUnion)]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT 'later'")
        yield
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DROP COLUMN later")


@pytest.mark.usefixtures("later_column")
def test_fields_that_only_the_newer_version_knows_are_passed_by(union: Union, forks: Forks) -> None:
    enrol_with("akave", "hook")
    records = [union.hand_in(f"id-{number}") for number in range(2)]
    if connection.vendor == "mongodb":
        for model in (SyncJob, DataUnion):
            connection.get_collection(model._meta.db_table).update_many({}, {"$set": {"later": "later"}})

    assert forks.run("push", "akave") == 0
    assert forks.run("hand_in", "another") == 0
    union.settle("akave", "hook")

    assert all(union.is_synced(record, "akave", "hook") for record in records)
    assert not SyncJob.objects.exists()
    union.check(logs=[forks.logs])
