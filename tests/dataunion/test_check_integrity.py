"""check_integrity: what it prints and how it ends; and that audits beside live work find nothing to mend."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from dataunion import reconcile, stats
from dataunion.clock import db_now
from dataunion.integrity.findings import Kind
from dataunion.models import NEVER, AuditState, Counters, DataUnion, HealthData, SyncJob
from dataunion.sync import engine, tick
from tests.dataunion.work import ago, at_once, hand_in, service

pytestmark = pytest.mark.django_db(transaction=True)


def check_integrity(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("check_integrity", *options, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def break_much() -> None:
    """Break a record, the counters and some data, so that three repairs are needed."""
    hand_in("a")
    gone = hand_in("gone", user_hash="u2")
    stats.fold()
    DataUnion.objects.update(created_at=ago(600))
    SyncJob.objects.filter(record=gone).delete()
    DataUnion.objects.filter(data_id="gone").delete()
    HealthData.objects.filter(data_id="gone").update(created_at=ago(700))
    SyncJob.objects.filter(partner="akave").delete()


@pytest.mark.parametrize("options", [(), ("--all",)])
def test_it_mends_and_ends_well(options: tuple[str, ...]) -> None:
    break_much()

    status, out = check_integrity(*options)

    assert status == 0
    assert "record without job                           1 repaired" in out
    assert "data without record                          1 repaired" in out
    assert "counters adrift                              1 repaired" in out
    assert "job without record                           0 repaired" in out
    assert out.endswith("3 repaired, 0 could not be repaired\n")
    assert check_integrity(*options)[1].endswith("Nothing is wrong\n")


@pytest.mark.parametrize("options", [(), ("--all",)])
def test_a_dry_run_changes_nothing_and_ends_badly(options: tuple[str, ...]) -> None:
    break_much()

    status, out = check_integrity("--dry-run", *options)

    assert status == 1
    assert out.endswith("3 to repair, 0 could not be repaired\n")
    assert (HealthData.objects.count(), SyncJob.objects.filter(partner="akave").count()) == (2, 0)
    assert Counters.objects.get().counts["records"] == 2
    assert AuditState.objects.filter(ran_at__gt=NEVER).count() == 0


def test_a_dry_run_over_what_is_right_ends_well() -> None:
    hand_in()

    assert check_integrity("--dry-run")[0] == 0


def test_what_cannot_be_repaired_ends_badly() -> None:
    record = hand_in()
    DataUnion.objects.update(created_at=ago(600), partners={"akave": {"retry_data": "x", "fence": 2}})
    SyncJob.objects.filter(record=record).delete()

    status, out = check_integrity()

    assert status == 1
    assert out.endswith("0 repaired, 1 could not be repaired\n")


def test_all_looks_at_every_record_however_the_pages_fall() -> None:
    for name in "abcde":
        hand_in(name)
    DataUnion.objects.update(created_at=ago(600))
    SyncJob.objects.filter(partner="akave").delete()
    told = []

    found = reconcile.audit_everything(limit=2, tell=lambda found: told.append(found.looked_at["records"]))

    assert (found.repaired, found.looked_at["records"]) == ({Kind.MISSING_JOB: 5}, 5)
    assert [n for n in dict.fromkeys(told) if n] == [2, 4, 5]


def test_staff_can_see_the_last_run_and_what_was_mended_in_all() -> None:
    break_much()

    tick.upkeep()
    tick.upkeep()

    state = AuditState.objects.get()
    assert state.repaired == {"record without job": 1, "data without record": 1, "counters adrift": 1}
    assert state.last["repaired"] == {}
    assert state.last["looked_at"]["records"] == 1
    assert NEVER < state.repaired_at < state.ran_at <= db_now()


# --- beside live work


def pour() -> None:
    for n in range(8):
        hand_in(f"new{n}")


def clock() -> None:
    for _ in range(4):
        tick.tick()


def look() -> int:
    DataUnion.objects.update(created_at=ago(600))
    return sum(reconcile.audit(db_now()) for _ in range(4))


def look_at_all() -> int:
    return sum(reconcile.audit_everything(tell=lambda _: None).repaired.total() for _ in range(2))


def work(partner: str) -> int:
    return sum(engine.push(partner) for _ in range(6))


def test_audits_beside_live_work_find_nothing_to_mend() -> None:
    for n in range(12):
        hand_in(f"old{n}")

    found = at_once(look, look_at_all, pour, clock, lambda: work("akave"), lambda: work("vana"))

    assert [r for r in found if isinstance(r, Exception)] == []
    assert found[:2] == [0, 0]
    engine.push("akave")
    assert reconcile.audit(db_now()) == 0
    assert len(service().objects) == 20
