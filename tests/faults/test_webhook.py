"""A webhook's receiver in every kind of trouble: what stands in the rows, and each record there under one id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest

from dataunion.state import PartnerState, Status
from partners.sandbox.faults import Fault
from partners.sandbox.receiver import Receiver
from partners.sandbox.s3 import S3
from tests.faults import holes
from tests.faults.acts import call_checked, job_of, only, peace_s, resume, row_of, set_options
from tests.faults.elapse import elapse
from tests.faults.union import Union
from tests.flows.house import eventually
from tests.flows.sandboxes import HOOK_SECRET

MEGABYTE = 1 << 20


def answered(union: Union) -> list[int | None]:
    """Return the status of each delivery's answer, oldest first; pings left out."""
    return [entry["status"] for entry in union.sandboxes.hook_log() if "ping" not in entry["id"]]


def ids(union: Union) -> set[str]:
    return {entry["id"] for entry in union.sandboxes.hook_log() if "ping" not in entry["id"]}


# --- told to wait


@pytest.mark.parametrize(
    ("kind", "said", "waits_s", "outcome", "spent"),
    [
        ("hook_429", "20", 20, "limited", 0),
        ("hook_429", "tomorrow", 5, "limited", 0),
        ("hook_429", "999999999", 3600, "limited", 0),
        ("hook_503", "20", 20, "limited", 0),
        ("hook_503", "-20", 0, "transient", 1),
    ],
)
def test_a_receiver_that_asks_for_time_gets_it(
    union: Union, kind: str, said: str, waits_s: int, outcome: str, spent: int
) -> None:
    only("hook", "akave")
    record = union.hand_in()
    call_checked("hook")
    union.sandboxes.arm_hook(kind, text=said)

    union.push("hook")

    assert (union.outcomes(record, "hook"), job_of(record, "hook").attempts) == ([outcome], spent)
    assert waits_s - 8 < max(peace_s("hook"), 0) <= waits_s
    union.settle("akave")
    assert union.is_synced(record, "akave")
    elapse(max(waits_s, 10) + 1)
    union.settle("hook")
    assert (answered(union), len(ids(union))) == ([int(kind[-3:]), 204], 1)
    union.check()


# --- no answer, or a wrong one


@pytest.mark.parametrize(
    ("kind", "seconds", "taken_in"),
    [
        ("hook_timeout", 20.0, 1),
        ("hook_hold", 20.0, 2),
        ("hook_lost_response", 0.0, 2),
        ("hook_drip", 0.2, 1),
        ("hook_500", 0.0, 1),
        ("hook_html_200", 0.0, 1),
    ],
)
def test_a_delivery_that_nobody_confirms_is_made_again_under_the_same_id(
    union: Union, kind: str, seconds: float, taken_in: int
) -> None:
    only("hook")
    set_options("hook", timeout_s="1")
    record = union.hand_in()
    union.sandboxes.arm_hook(kind, seconds=seconds)
    started = time.monotonic()

    union.push("hook")

    assert time.monotonic() - started < 10
    assert (job_of(record, "hook").status, job_of(record, "hook").attempts) == (Status.RETRYING, 1)
    union.settle("hook")
    assert union.outcomes(record, "hook") == ["transient", "synced"]
    [webhook_id] = ids(union)
    bodies = union.sandboxes.receiver.view("received")[webhook_id]
    assert (len(bodies), len(set(bodies))) == (taken_in, 1)
    union.check()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_delivery_is_not_followed(union: Union, status: int) -> None:
    only("hook")
    record = union.hand_in()
    call_checked("hook")
    with holes.visited() as (admin, asked):
        union.sandboxes.arm_hook("redirect", text=f"{status} {admin}?token=abc")

        union.push("hook")

        assert asked == []
    message = job_of(record, "hook").error_message
    assert message == f"hook: deliver: answered {status}, a redirect to {admin}, which is not followed; correct the URL"
    union.settle("hook")
    assert answered(union) == [status, 204]
    union.check()


def test_a_redirect_to_the_clouds_metadata_is_not_followed(union: Union) -> None:
    only("hook")
    union.hand_in()
    union.sandboxes.arm_hook("hook_redirect", skip=1)

    union.settle("hook")

    assert answered(union) == [307, 204]
    union.check()


@pytest.mark.parametrize("kind", ["huge_answer", "huge_length", "gzip_bomb", "short_answer"])
def test_what_else_a_receiver_says_is_not_read_to_its_end(union: Union, kind: str) -> None:
    only("hook")
    union.hand_in("first")
    union.settle("hook")  # what is loaded once is loaded
    record = union.hand_in()
    union.sandboxes.arm_hook(kind)

    with holes.memory_growth() as grown:
        union.push("hook")

    assert grown[0] < 50 * MEGABYTE
    [entry] = eventually(lambda: [entry for entry in union.sandboxes.hook_log() if "sent" in entry])
    assert (entry["fault"], entry["sent"] < 30 * MEGABYTE) == (kind, True)
    union.settle("hook")
    assert union.is_synced(record, "hook")
    union.check()


# --- what staff have to mend


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("hook_410", "answered 410: this address is gone for good; ask for the new one"),
        ("hook_401", "answered 401; check the credentials and what they may do"),
    ],
)
def test_a_receiver_that_is_gone_or_refuses_us_stops_the_partner(union: Union, kind: str, told: str) -> None:
    only("hook")
    records = [union.hand_in(str(number)) for number in range(12)]
    call_checked("hook")
    union.sandboxes.arm_hook(kind, times=100)

    union.push("hook")

    assert (row_of("hook").state, row_of("hook").state_reason) == (PartnerState.PAUSED, f"hook: deliver: {told}")
    assert len(answered(union)) < 12
    assert {job_of(record, "hook").attempts for record in records} == {0}
    union.sandboxes.receiver.faults.disarm()
    resume("hook")
    union.settle("hook")
    assert all(union.is_synced(record, "hook") for record in records)
    union.check()


@pytest.fixture
def old_secret(union: Union) -> Iterator[None]:
    yield
    union.sandboxes.receiver.set_secret(HOOK_SECRET)


@pytest.mark.usefixtures("old_secret")
def test_a_secret_that_the_receiver_changed_stops_the_partner_until_staff_know_it(union: Union) -> None:
    only("hook")
    record = union.hand_in()
    call_checked("hook")
    new = "whsec_YW5vdGhlci1zZWNyZXQtdGhhdC1uby1sb2ctaG9sZHM="
    union.sandboxes.receiver.set_secret(new)

    union.push("hook")

    assert union.outcomes(record, "hook") == ["misconfigured"]
    assert "check the credentials" in row_of("hook").state_reason
    set_options("hook", checked=False, secret=new)
    resume("hook")
    union.settle("hook")
    assert union.outcomes(record, "hook") == ["misconfigured", "synced"]
    union.check(secrets=[HOOK_SECRET, new])


def test_an_unreachable_receiver_gets_everything_when_it_is_back(union: Union) -> None:
    only("hook")
    record = union.hand_in()
    with holes.nobody() as url:
        set_options("hook", url=f"{url}/hook")
        union.push("hook")
    set_options("hook", url=f"{union.sandboxes.receiver.url}/hook")

    union.settle("hook")

    assert union.outcomes(record, "hook") == ["transient", "synced"]
    union.check()


# --- all of it at once

SHARE = 0.3
SECONDS = {"put_hold": 1.5, "hook_hold": 1.5, "put_timeout": 1.5, "hook_timeout": 1.5, "put_429": 1.0, "hook_429": 1.0}


def arm_all(union: Union, seed: int) -> None:
    """Let 30 % of all requests meet a fault, each kind in its turn, in an order that the seed gives."""
    for server, kinds in ((union.sandboxes.s3, S3.kinds), (union.sandboxes.receiver, Receiver.kinds)):
        order = Random(seed).sample(sorted(kinds), len(kinds))
        every = round(len(order) / SHARE)
        for place, kind in enumerate(order):
            skip, seconds = round(place / SHARE), SECONDS.get(kind, 0.1)
            server.faults.arm(Fault(kind=kind, times=1000, every=every, skip=skip, per_subject=2, seconds=seconds))


def test_all_faults_together_lose_nothing_and_double_nothing(union: Union) -> None:
    only("akave", "hook")
    set_options("akave", read_timeout_s="0.5", deadline_s="1", grace_s="1")
    set_options("hook", timeout_s="1")
    records = [union.hand_in(str(number)) for number in range(60)]
    arm_all(union, seed=7)

    def is_over() -> bool:
        for name in ("akave", "hook"):
            if row_of(name).state == PartnerState.PAUSED:
                resume(name)
        return all(union.is_synced(record, "akave", "hook") for record in records)

    union.settle("akave", "hook", until=is_over)

    met = {entry["fault"] for entry in (*union.sandboxes.storage_log(), *union.sandboxes.hook_log())} - {""}
    assert len(union.sandboxes.stored_keys()) == 60
    assert len(ids(union)) == 60
    assert len(met) > 25
    union.check()
