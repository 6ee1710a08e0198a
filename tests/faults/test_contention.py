"""Many at once on one row, and many rows at once beside live work: one wins, nobody's word is lost, nobody waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from dataunion import claims, reconcile, retries, roster
from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncJob
from dataunion.reports import ContendedError
from dataunion.sync import engine
from dataunion.sync.tick import tick
from partners.errors import BlockedError, PermanentError, TransientError
from tests.dataunion.work import ago, at_once, expire, hand_in, service, set_partner
from tests.faults import model
from tests.faults.chronicle import Chronicle
from tests.faults.elapse import elapse
from tests.faults.look import read_pairs
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated

PAYLOAD = json.dumps({"note": MARKER}).encode()
ROUNDS = 12 if settings.MONGODB else 24


@pytest.fixture
def chronicle() -> Iterator[Chronicle]:
    with Chronicle() as watched:
        yield watched


@pytest.fixture
def record(database: str) -> DataUnion:
    """Give a record that only akave takes."""
    set_partner("vana", state="off")
    return hand_in(payload=PAYLOAD)


def recover(*partners: str) -> None:
    """Be the clock and a worker until no work is open."""
    for _ in range(10):
        if not SyncJob.objects.exists():
            return
        elapse(4000)
        tick()
        for partner in partners:
            retries.start_run({"partner": partner}, by="ann")
            engine.push(partner)


# --- one row


def fail_with(error: Exception) -> Callable[[DataUnion], None]:
    def fail(record: DataUnion) -> None:
        start_anew(record)
        service().plan("store", error)
        engine.push("akave")
        SyncJob.objects.update(due_at=ago(1))

    return fail


def start_anew(record: DataUnion) -> None:
    record.update_partner_sync("akave", False)


def abandon(record: DataUnion) -> None:
    start_anew(record)
    expire(*claims.claim("akave", limit=1))


def leave(record: DataUnion) -> None:
    """Begin with a record that is synced."""


BEGINNINGS: list[Callable[[DataUnion], None]] = [
    start_anew,
    abandon,
    leave,
    fail_with(TransientError("akave: store: HTTP 503", http_status=503)),
    fail_with(PermanentError("akave: store: HTTP 400", http_status=400)),
    fail_with(BlockedError("akave: store: no consent")),
]


def actors(record: DataUnion) -> list[Callable[[], Any]]:
    """Return what eight of them do with the one row."""
    job = SyncJob.objects.filter(record=record).first() or SyncJob(record=record, partner="akave")
    return [
        lambda: engine.push("akave"),
        lambda: engine.push("akave"),
        tick,
        lambda: retries.retry_job(job, by="ann"),
        lambda: retries.start_run({"partner": "akave"}, by="bob"),
        lambda: DataUnion.objects.get(pk=record.pk).update_partner_sync("akave", True),
        lambda: DataUnion.objects.get(pk=record.pk).update_partner_sync("akave", False, "akave: it is gone"),
        lambda: reconcile.audit(db_now()),
        lambda: claims.bring_forward([record.pk], ["akave"], db_now()),
    ]


@pytest.mark.parametrize("begin", BEGINNINGS, ids=["pending", "abandoned", "synced", "retrying", "failed", "blocked"])
def test_whatever_eight_do_to_one_row_at_once_it_is_somewhere_and_only_once(
    record: DataUnion, chronicle: Chronicle, begin: Callable[[DataUnion], None]
) -> None:
    DataUnion.objects.update(created_at=ago(600))  # old enough for the audit
    for _ in range(ROUNDS // 6 or 1):
        recover("akave")
        begin(record)

        results = at_once(*actors(record))

        assert not [r for r in results if isinstance(r, Exception) and not isinstance(r, ContendedError)]
        assert [fault for pair in read_pairs().values() for fault in model.find_faults(pair)] == []
    recover("akave")
    told = [(record.pk, "akave")]
    assert_nothing_violated(Evidence(chronicle=chronicle, told=told))
    assert DataUnion.objects.get().entry("akave").is_synced


# --- two partners of one record


def test_two_partners_of_one_record_never_lose_each_others_word(chronicle: Chronicle) -> None:
    roster.find_partners()
    record = hand_in(payload=PAYLOAD)
    for _ in range(ROUNDS // 3):
        assert at_once(lambda: engine.push("akave"), lambda: engine.push("vana")) == [1, 1]

        stored = DataUnion.objects.get()
        assert {name: (stored.entry(name).is_synced, len(stored.entry(name).receipt)) for name in stored.partners} == {
            "akave": (True, 1),
            "vana": (True, 1),
        }

        words = [
            lambda name=name: DataUnion.objects.get(pk=record.pk).update_partner_sync(name, False, f"{name}: gone")
            for name in ("akave", "vana")
        ]
        assert at_once(*words) == [None, None]

        stored = DataUnion.objects.get()
        assert [stored.entry(name).error_message for name in ("akave", "vana")] == ["akave: gone", "vana: gone"]
        claims.reopen(SyncJob.objects.all(), trigger="ann", priority=0, now=ago(1))
    recover("akave", "vana")
    assert_nothing_violated(Evidence(chronicle=chronicle))
