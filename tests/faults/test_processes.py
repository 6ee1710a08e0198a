"""The processes of production, killed or told to go while a partner keeps them waiting: what they did is taken over."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

import pytest
from django.db.models import F

from dataunion import roster
from dataunion.clock import db_now
from dataunion.models import ChainTx, DataUnion, HealthData, Partner, SyncAttempt, SyncJob
from tests.faults.elapse import elapse
from tests.faults.oracle import MARKER
from tests.faults.union import PARTNERS, Union
from tests.flows.house import LEASE_S, TICK_S, House, eventually
from tests.flows.sandboxes import Sandboxes

HOLD_S = 60.0
SLACK_S = 3.0  # of a tick that starts late on a busy machine


@pytest.fixture(autouse=True)
def patience(union: Union) -> None:
    """Let requests wait long enough for a busy machine, and each partner's configuration be checked."""
    for partner, name in (("akave", "read_timeout_s"), ("hook", "timeout_s")):
        roster.configure(Partner.objects.get(name=partner), config={name: "25"})
    Partner.objects.update(checked_version=F("version"))


def is_held(sandboxes: Sandboxes, kind: str) -> bool:
    """Say whether a request came that this fault holds."""
    logs = (*sandboxes.storage_log(), *sandboxes.chain_log(), *sandboxes.hook_log())
    return any(entry["fault"] == kind for entry in logs)


def test_workers_killed_while_a_partner_holds_its_answer_are_taken_over(
    house: House, union: Union, sandboxes: Sandboxes, record_property: Callable[[str, object], None]
) -> None:
    record = union.hand_in("vana's")
    union.settle("akave", "hook")
    held = {"akave": "put_hold", "vana": "broadcast_hold", "hook": "hook_hold"}
    sandboxes.arm_s3("put_hold", seconds=HOLD_S)
    sandboxes.arm_chain("broadcast_hold", seconds=HOLD_S)
    sandboxes.arm_hook("hook_hold", seconds=HOLD_S)
    house.start("akave", "vana", "hook", "ticker", "beat")
    other = union.hand_in("of the others")
    eventually(lambda: all(is_held(sandboxes, kind) for kind in held.values()))

    for partner in held:
        house.kill(partner)
    killed_at, begin = db_now(), time.monotonic()
    eventually(lambda: SyncAttempt.objects.filter(outcome="crashed").count() == 3)
    eventually(lambda: union.push(*PARTNERS) < 0 or (union.is_synced(record) and union.is_synced(other)))

    record_property("recovery_s", round(time.monotonic() - begin, 1))
    taken = SyncAttempt.objects.filter(outcome="crashed").values_list("created_at", flat=True)
    takeover_s = max(taken).timestamp() - killed_at.timestamp()
    record_property("takeover_s", round(takeover_s, 1))
    assert takeover_s < LEASE_S + TICK_S + SLACK_S
    assert union.outcomes(record, "vana") == ["crashed", "synced"]
    assert union.outcomes(other, "akave") == union.outcomes(other, "hook") == ["crashed", "synced"]
    urls = [union.entry(one, "akave")["url"] for one in (record, other)]
    assert [sandboxes.registered_urls()[url] for url in urls] == [1, 1]
    assert len(sandboxes.stored_keys()) == 2
    assert set(ChainTx.objects.values_list("generation", flat=True)) == {0}
    union.check(logs=[house.logs])


def test_a_deploy_in_mid_chunk_burns_no_attempt(house: House, union: Union, sandboxes: Sandboxes) -> None:
    sandboxes.arm_s3("put_hold", seconds=2)
    sandboxes.arm_hook("hook_hold", seconds=HOLD_S)
    records = [union.hand_in(f"id-{number}") for number in range(3)]
    house.start("akave", "hook", "ticker", "beat")
    eventually(lambda: is_held(sandboxes, "put_hold") and is_held(sandboxes, "hook_hold"))
    house.stop("beat", "ticker")

    house.tell_to_end("hook")
    eventually(lambda: b"Warm shutdown" in (house.logs / "hook.log").read_bytes())
    house.kill("hook")  # as one is that takes too long
    house.stop("akave")

    assert not SyncJob.objects.filter(partner="akave", status="running").exists()
    elapse(LEASE_S + 0.1)
    union.settle()
    assert [union.outcomes(record, "akave") for record in records] == [["synced"]] * 3
    assert {record.entry("akave").attempts for record in DataUnion.objects.all()} == {1}
    assert [union.outcomes(record, "hook") for record in records] == [["crashed", "synced"]] * 3
    union.check(logs=[house.logs])


def test_a_web_server_killed_in_the_middle_of_a_hand_in_has_one_record_when_asked_again(
    house: House, union: Union
) -> None:
    house.stop("web")
    house.start("web", env={"FAULTS_CRASH": "dataunions insert 1"})

    with pytest.raises((http.client.HTTPException, OSError)):
        house.hand_in("one", {"note": MARKER})
    assert not DataUnion.objects.exists()
    house.kill("web")
    house.start("web")
    record_id = house.hand_in("one", {"note": MARKER})

    elapse(HOLD_S * 11)  # what was written before is nobody's after ten minutes
    union.settle()
    assert [str(pk) for pk in DataUnion.objects.values_list("pk", flat=True)] == [record_id]
    assert HealthData.objects.count() == 1
    assert len(union.sandboxes.stored_keys()) == 1
    assert len({entry["id"] for entry in union.sandboxes.hook_log()}) == 1
    union.check(logs=[house.logs])
