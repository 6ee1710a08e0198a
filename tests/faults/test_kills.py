"""SIGKILL at every moment of a record's way: taken over when the lease ends, and nothing is done twice in effect."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from dataunion import stats
from dataunion.models import ChainTx, Counters, DataUnion, HealthData, Partner, SyncJob
from tests.faults.crashes import find_commit
from tests.faults.elapse import elapse
from tests.faults.forks import KILLED, Forks
from tests.faults.union import Union
from tests.flows.house import LEASE_S, eventually
from tests.flows.sandboxes import Sandboxes

AFTER_LEASE_S = LEASE_S + 0.1
GATE_S = 5.0  # dataunion.gate: how long one that died with it keeps it
ORPHAN_S = 601.0


def enrol_with(*names: str) -> None:
    """Enrol new records with these partners only; their configuration was checked."""
    Partner.objects.exclude(name__in=names).update(state="off")
    Partner.objects.filter(name__in=names).update(checked_version=F("version"))


def requests(sandboxes: Sandboxes, partner: str) -> list[Any]:
    """Return what a partner was sent that changes something: objects put, messages."""
    if partner == "akave":
        return [(entry["key"], entry["sha256"]) for entry in sandboxes.storage_log() if entry["method"] == "PUT"]
    return [(entry["id"], entry["sha256"]) for entry in sandboxes.hook_log()]


BEFORE_THE_SEND = "syncjobs update 1 after"
# SQL saves a chunk's steps in one transaction, which is not over yet: the step is taken again, to the same effect.
NOT_COMMITTED = 1 if connection.vendor == "mongodb" else 2
COMMIT = find_commit()
COMMITTED = [
    f"{COMMIT} after",
    "dataunions update 1 after",
    "syncattempts insert 1 after",
    "remoterefs insert 1",
    "remoterefs insert 1 after",
]


@pytest.mark.parametrize(
    ("partner", "crash", "sent"),
    [
        ("akave", BEFORE_THE_SEND, 1),
        ("akave", "syncjobs.saved update 1 after", 1),
        ("akave", "syncjobs.saved update 2", 2),  # the object is there, and nobody knows
        ("akave", "syncjobs.saved update 2 after", NOT_COMMITTED),
        ("akave", COMMIT, 1),
        ("hook", BEFORE_THE_SEND, 1),
        ("hook", "syncjobs.saved update 1", 2),
        ("hook", "syncjobs.saved update 1 after", NOT_COMMITTED),
    ],
)
def test_a_worker_killed_before_its_commit_is_taken_over(
    union: Union, forks: Forks, partner: str, crash: str, sent: int
) -> None:
    enrol_with(partner)
    record = union.hand_in()

    assert forks.run("push", partner, crash=crash) == KILLED
    assert SyncJob.objects.get().status == "running"
    elapse(AFTER_LEASE_S)
    union.settle(partner)

    assert union.outcomes(record, partner) == ["crashed", "synced"]
    requested = requests(union.sandboxes, partner)
    assert (len(requested), len(set(requested))) == (sent, 1)
    union.check(logs=[forks.logs])


@pytest.mark.parametrize("partner", ["akave", "hook"])
@pytest.mark.parametrize("crash", COMMITTED)
def test_a_worker_killed_between_commit_and_the_jobs_end_has_sent_once(
    union: Union, forks: Forks, partner: str, crash: str
) -> None:
    enrol_with(partner)
    record = union.hand_in()

    assert forks.run("push", partner, crash=crash) == KILLED
    # Where there are transactions, a move is one: then nothing of it stands.
    left = "done" if connection.vendor == "mongodb" else "running"
    assert SyncJob.objects.get().status == left
    elapse(AFTER_LEASE_S)
    union.settle(partner)

    assert union.outcomes(record, partner) == (["synced"] if left == "done" else ["crashed", "synced"])
    assert len(requests(union.sandboxes, partner)) == 1
    union.check(logs=[forks.logs])


@pytest.mark.parametrize("partner", ["akave", "hook"])
def test_a_worker_killed_after_its_commit_leaves_nothing_to_do(union: Union, forks: Forks, partner: str) -> None:
    enrol_with(partner)
    record = union.hand_in()

    assert forks.run("push", partner, crash="partners.gate_token update 3") == KILLED

    assert not SyncJob.objects.exists()
    assert union.outcomes(record, partner) == ["synced"]
    assert len(requests(union.sandboxes, partner)) == 1
    union.check(logs=[forks.logs])


@pytest.mark.parametrize(
    ("crash", "outcomes"),
    [
        ("signers.lease_token update 1 after", ["synced"]),
        (BEFORE_THE_SEND, ["crashed", "synced"]),
        ("syncjobs.saved update 3", ["crashed", "synced"]),  # signed, but the job does not say so
        ("syncjobs.saved update 3 after", ["crashed", "synced"]),  # signed, not broadcast
        ("syncjobs.saved update 4", ["crashed", "synced"]),  # broadcast, but the job does not say so
        ("syncjobs.saved update 4 after", ["crashed", "synced"]),
    ],
)
def test_a_worker_killed_around_its_transaction_has_registered_once(
    union: Union, forks: Forks, crash: str, outcomes: list[str]
) -> None:
    enrol_with("akave", "vana")
    record = union.hand_in()
    union.settle("akave")

    assert forks.run("push", "vana", crash=crash) == KILLED
    elapse(AFTER_LEASE_S)
    union.settle("vana")

    assert union.outcomes(record, "vana") == outcomes
    url = union.entry(record, "akave")["url"]
    assert union.sandboxes.registered_urls()[url] == 1
    assert len(union.sandboxes.read("tee_pool", "fileJobIds", union.entry(record, "vana")["file_id"])) == 1
    assert set(ChainTx.objects.values_list("generation", flat=True)) == {0}
    union.check(logs=[forks.logs])


def test_a_worker_killed_with_the_gate_in_hand_keeps_the_others_out_for_seconds(union: Union, forks: Forks) -> None:
    enrol_with("akave")
    record = union.hand_in()

    assert forks.run("push", "akave", crash="partners.gate_token update 1 after") == KILLED
    assert union.push("akave") == 0
    elapse(GATE_S)
    assert union.push("akave") == 1

    assert union.outcomes(record, "akave") == ["synced"]
    union.check(logs=[forks.logs])


def test_two_workers_killed_at_once_are_both_taken_over(union: Union, forks: Forks) -> None:
    enrol_with("akave")
    union.sandboxes.arm_s3("put_hold", times=2, seconds=60)
    records, workers = [], []
    for number in range(2):
        records.append(union.hand_in(f"id-{number}"))
        workers.append(forks.start("push", "akave"))
        eventually(lambda: len(requests(union.sandboxes, "akave")) == len(workers))

    for worker in workers:
        forks.kill(worker)
    elapse(AFTER_LEASE_S)
    union.settle("akave")

    assert [union.outcomes(record, "akave") for record in records] == [["crashed", "synced"]] * 2
    assert len(union.sandboxes.stored_keys()) == 2
    union.check(logs=[forks.logs])


@pytest.mark.parametrize(
    "crash",
    [
        "syncjobs.outcome update 1 after",
        "syncjobs.outcome update 2",
        "dataunions update 1 after",
        "syncattempts insert 1 after",
        "syncjobs update 3",  # the first publication's end
        "syncjobs update 4",
    ],
)
def test_a_rescuer_killed_in_the_middle_counts_each_crash_once(union: Union, forks: Forks, crash: str) -> None:
    enrol_with("akave", "hook")
    records = [union.hand_in(f"id-{number}") for number in range(2)]
    for partner in ("akave", "hook"):
        assert forks.run("push", partner, crash=BEFORE_THE_SEND) == KILLED

    elapse(AFTER_LEASE_S)
    assert forks.run("tick", crash=crash) == KILLED
    elapse(AFTER_LEASE_S)
    union.settle("akave", "hook")

    for partner in ("akave", "hook"):
        assert [union.outcomes(record, partner) for record in records] == [["crashed", "synced"]] * 2
        assert len(requests(union.sandboxes, partner)) == 2
    union.check(logs=[forks.logs])


@pytest.mark.parametrize(
    "crash",
    [
        "dataunions.counted update 1",
        "dataunions.counted update 1 after",
        "counters.counts update 1",
        "counters.counts update 1 after",
    ],
)
def test_a_tick_killed_in_the_middle_of_its_fold_counts_each_record_once(
    union: Union, forks: Forks, crash: str
) -> None:
    enrol_with("hook")
    records = [union.hand_in(f"id-{number}") for number in range(2)]

    assert forks.run("tick", crash=crash) == KILLED
    assert (stats.read_totals().records, stats.read_totals().partners["hook"].pending) == (2, 2)
    records.append(union.hand_in("later"))
    elapse(AFTER_LEASE_S)
    union.settle("hook")

    assert stats.fold() == 0
    assert stats.read_totals().records == Counters.objects.get().counts["records"] == 3
    assert stats.read_totals().partners["hook"].synced == 3
    union.check(logs=[forks.logs])


@pytest.mark.parametrize(
    "crash",
    [
        "syncjobs insert 1 after",
        "healthdata insert 1",
        "healthdata insert 1 after",
        "dataunions insert 1",
        "dataunions insert 1 after",
    ],
)
def test_whoever_hands_in_again_what_a_killed_server_was_handed_has_one_record(
    union: Union, forks: Forks, crash: str
) -> None:
    enrol_with("akave", "hook")

    assert forks.run("hand_in", "one", crash=crash) == KILLED
    record = union.hand_in("one")
    elapse(ORPHAN_S)
    union.settle("akave", "hook")

    assert list(DataUnion.objects.all()) == [record]
    assert HealthData.objects.count() == 1
    assert not SyncJob.objects.exists()
    assert len(requests(union.sandboxes, "akave")) == len(requests(union.sandboxes, "hook")) == 1
    union.check(logs=[forks.logs])
