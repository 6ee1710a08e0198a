"""Every act that writes more than one row, stopped at each of its writes: time, tick and audit make it whole.

The table "Half-done states" in docs/reliability.md says who mends what. SQL undoes most of it by itself; MongoDB leaves
each half as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as settings_now

from dataunion import backfill, claims, ledger, reconcile, renaming, retries, roster, rotation, stats, vault
from dataunion.clock import db_now
from dataunion.integrity.findings import Kind
from dataunion.models import (
    PAYLOADS,
    Backfill,
    Counters,
    DataUnion,
    HourStat,
    RemoteRef,
    RetryRun,
    SyncAttempt,
    SyncJob,
)
from dataunion.state import PartnerState, Status
from dataunion.sync import engine, tick
from partners.base import Item, SignedTx
from partners.errors import TransientError
from partners.testing import FakePartner
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import ago, claim, done, hand_in, service, set_partner
from tests.faults.crashes import Point, Write, crashing
from tests.faults.elapse import elapse

SETTLED = timedelta(minutes=3)  # after which a backfill reaches the newest records: a key's time does not elapse
LONG_S = 1500.0  # longer than any lease, wait and time of grace
Act = Callable[[], object]


class Named(FakePartner):
    """Its object has a name that can be drawn anew."""

    name_keys = ("id",)


@pytest.fixture(autouse=True)
def _partners(settings: Any, request: pytest.FixtureRequest) -> None:
    """Let there be akave alone, since each partner costs each of many rounds; another one where it matters."""
    matters = any(act.__name__ in request.node.name for act in OF_TWO_PARTNERS)
    second = partners_of(second="NeedsAkave") if matters else {}
    settings.VAULT_KEYS = list(settings.VAULT_KEYS)
    settings.PARTNERS = {**second, "akave": {"BACKEND": f"{__name__}.Named", "OPTIONS": {}}}


@dataclass(frozen=True)
class InWork(Point):
    """A write to anything but the gates and leases that end by themselves."""

    def means(self, write: Write) -> bool:
        return super().means(write) and write.table not in ("partners", "taskleases")


def wipe() -> None:
    for model in apps.get_app_config("dataunion").get_models():
        model._default_manager.all().delete()
    FakePartner.reset()


# --- the acts: each makes its ground and returns what is stopped


def handing_in_many() -> Act:
    from dataunion.ingest import NewRecord, register_records

    news = [NewRecord(user_hash="u1", data_type="health", data_id=f"n{n}", payload=b"{}") for n in range(3)]
    return lambda: register_records(news)


def attaching_data() -> Act:
    hand_in("a", payload=None)
    return lambda: hand_in("a")


def pushing() -> Act:
    hand_in("a")
    return lambda: engine.push("akave")


def pushing_into_an_error() -> Act:
    hand_in("a")
    service().plan("store", TransientError("akave: store: HTTP 503", http_status=503))
    return lambda: engine.push("akave")


def settling() -> Act:
    hand_in("a")
    hand_in("b")
    jobs = claim()
    return lambda: claims.settle([(job, done(receipt={"id": "x"})) for job in jobs], db_now())


def rescuing() -> Act:
    hand_in("a")
    hand_in("b")
    first, second = claim()
    claims._commit(first, done(), db_now(), ())
    elapse(60)
    return tick.tick


def reporting_on_a_job() -> Act:
    record = hand_in("a")
    return lambda: record.update_partner_sync("akave", True, retry_data={"id": "x"})


def reporting_that_it_is_gone() -> Act:
    record = hand_in("a")
    engine.push("akave")
    return lambda: record.update_partner_sync("akave", False, "it is gone")


def retrying_all() -> Act:
    hand_in("a")
    SyncJob.objects.filter(partner="akave").update(status="failed", error_class="permanent", changed_at=ago(10))
    return lambda: retries.start_run({"partner": "akave"}, by="staff")


def renaming_a_record() -> Act:
    record = hand_in("a")
    engine.push("akave")
    failed = {"status": Status.FAILED, "error_class": "conflict", "changed_at": ago(10)}
    SyncJob.objects.filter(partner="second").update(**failed)
    return lambda: renaming.send_under_new_name(DataUnion.objects.get(pk=record.pk))


def rotating() -> Act:
    hand_in("a")
    engine.push("akave")
    settings_now.VAULT_KEYS = [vault.new_key(), *settings_now.VAULT_KEYS]
    return lambda: list(rotation.rotate())


def folding() -> Act:
    hand_in("a")
    hand_in("b")
    return stats.fold


def auditing_a_missing_job() -> Act:
    hand_in("a")
    SyncJob.objects.filter(partner="akave").delete()
    elapse(200)
    return lambda: reconcile.audit(db_now())


def auditing_orphans() -> Act:
    record = hand_in("a")
    hand_in("b")
    DataUnion.objects.filter(pk=record.pk).delete()
    elapse(LONG_S)
    return lambda: reconcile.audit(db_now())


def auditing_counters() -> Act:
    hand_in("a")
    stats.fold()
    Counters.objects.update(counts={"records": 7, "enrolled": {}})
    return lambda: reconcile.audit(db_now())


def backfilling() -> Act:
    set_partner("second", state=PartnerState.OFF)
    hand_in("a")
    hand_in("b")
    engine.push("akave")
    stats.fold()
    set_partner("second", state=PartnerState.ON)
    run, _ = backfill.start(roster.get_partner("second"), per_minute=backfill.FASTEST, by="staff")
    return lambda: backfill.advance(run, db_now() + SETTLED)


def signing() -> Act:
    record = hand_in("a")
    item = Item(record_id=str(record.pk), partner="second", user_hash="u1", data_type="health", data_id="a")

    def sign() -> None:
        lease = ledger.take_signer(chain_id=1, address="0x1", max_unmined=4)
        assert lease is not None
        ledger.DbLedger(lease).sign(item, "sign", 0, lambda nonce: SignedTx(nonce=nonce, tx_hash="0xa", raw=b"raw"))
        ledger.DbLedger(lease).replace(item, "sign", 0, lambda nonce: SignedTx(nonce=nonce, tx_hash="0xb", raw=b"new"))
        lease.let_go()

    return sign


ACTS = [
    handing_in_many,
    attaching_data,
    pushing,
    pushing_into_an_error,
    settling,
    rescuing,
    reporting_on_a_job,
    reporting_that_it_is_gone,
    retrying_all,
    renaming_a_record,
    rotating,
    folding,
    auditing_a_missing_job,
    auditing_orphans,
    auditing_counters,
    backfilling,
    signing,
]
ASKED_AGAIN = [attaching_data]
OF_TWO_PARTNERS = [renaming_a_record, backfilling]


# --- what mends, and what must hold then


def mend(again: Act | None) -> None:
    """Let time pass, then be clock, audit and workers until nothing moves; what was given up is asked again."""
    elapse(LONG_S)
    claims.rescue(db_now())
    retries.advance_all(db_now())
    backfill.advance_all(db_now() + SETTLED)
    reconcile.audit(db_now())
    if again:
        again()  # as whoever got no answer does
    for _ in range(4):
        SyncJob.objects.filter(status=Status.FAILED).update(status=Status.PENDING)
        SyncJob.objects.update(due_at=ago(1))
        for name in settings_now.PARTNERS:
            engine.push(name)
        if not SyncJob.objects.exists():
            break
    stats.fold()


def assert_whole() -> None:
    records = list(DataUnion.objects.all())
    entries = [(r.pk, name, r.entry(name)) for r in records for name in r.partners]
    assert [(pk, name) for pk, name, entry in entries if not entry.is_synced] == []
    assert list(SyncJob.objects.values_list("partner", "status")) == []
    data = [pk for model in PAYLOADS.values() for pk in model._default_manager.values_list("pk", flat=True)]
    assert sorted(data) == sorted(record.pk for record in records)
    for pk, name, entry in entries:
        rows = list(SyncAttempt.objects.filter(record=pk, partner=name).order_by("fence"))
        assert [row.number for row in rows] == list(range(1, entry.attempts + 1))
        ours = any(row.fence == entry.fence and row.outcome == "synced" for row in rows)
        assert RemoteRef.objects.filter(record=pk, partner=name).exists() or not ours
    totals = stats.read_totals()
    enrolled = Counter(name for _, name, _ in entries)
    assert totals.records == len(records)
    assert {name: totals.partners[name].enrolled for name in enrolled} == enrolled
    assert RetryRun.objects.filter(state="running").count() == 0
    assert [run.done for run in Backfill.objects.all()] == [enrolled["second"]] * Backfill.objects.count()
    assert Backfill.objects.exclude(open_for=None).count() == 0


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_an_act_that_is_stopped_at_any_write_is_made_whole(act: Callable[[], Act]) -> None:
    keys, stopped_at = settings_now.VAULT_KEYS, 0
    while True:
        wipe()
        settings_now.VAULT_KEYS = keys
        stopped = act()
        with crashing(InWork(number=stopped_at + 1, moment="within")) as trap:
            stopped()
        if not trap.happened:
            break
        stopped_at += 1
        mend(stopped if act in ASKED_AGAIN else None)
        assert_whole()
        found = reconcile.audit_slice(db_now()).repaired
        assert {kind: n for kind, n in found.items() if kind != Kind.HOUR} == {}  # `elapse` moves attempts, not hours
    assert stopped_at


@pytest.mark.sql_only("one transaction")
def test_a_run_that_is_stopped_before_it_counted_counts_each_job_once() -> None:
    stopped = retrying_all()
    with crashing("retryruns update 1"):
        stopped()
    assert RetryRun.objects.get().state == "running"

    retries.advance_all(db_now())

    run = RetryRun.objects.get()
    assert (run.state, run.wanted, run.done) == ("done", 1, 1)
    assert SyncJob.objects.get(partner="akave").status == Status.PENDING


@pytest.mark.parametrize("number", [1, 2])
def test_a_rolling_up_that_is_stopped_counts_each_attempt_once(number: int) -> None:
    pushing_into_an_error()()
    hand_in("b")
    engine.push("akave")
    with crashing(f"hourstats insert {number}") as trap:
        stats.roll_up(db_now())
    assert trap.happened

    stats.roll_up(db_now())

    counts = HourStat.objects.values_list("outcome", "count").order_by("outcome")
    assert list(counts) == [("synced", 1), ("transient", 1)]
    assert reconcile.audit(db_now()) == 0
