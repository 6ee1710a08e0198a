"""A refinement is done when the chain shows it; the service's answers only tell how long to wait and what failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from partners.base import Item, Rewind
from partners.errors import MisconfiguredError, NotReady, PermanentError, TransientError, UnknownOutcome
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.testing import MemoryLedger, ask
from partners.vana.adapter import VanaPartner
from tests.partners.vana.world import KEY, World
from tests.partners.wire import Wire, answer

Flow = tuple[VanaPartner, MemoryLedger, Item]


@pytest.fixture
def refiner(world: World) -> Server:
    return world.start_refiner()


@pytest.fixture
def registered(world: World, refiner: Server) -> Flow:
    partner = world.partner(refine="yes", refiner_url=refiner.url, refiner_id="1")
    ledger = world.ledger(partner)
    return partner, ledger, world.until(partner, world.item(), "confirm_register", ledger)


@pytest.fixture
def say(world: World) -> Iterator[Callable[..., tuple[VanaPartner, Wire]]]:
    """Return a maker of a service that answers each request with the next of these, and of a partner that uses it."""
    started: list[Wire] = []

    def start(*replies: Any) -> tuple[VanaPartner, Wire]:
        left = list(replies)

        def reply(connection: Any, _: bytes) -> None:
            told = left.pop(0) if len(left) > 1 else left[0]
            status, body = told if isinstance(told, tuple) else (200, told)
            connection.sendall(answer(status, json.dumps(body).encode(), Content_Type="application/json"))

        started.append(Wire(reply))
        return world.partner(refine="yes", refiner_url=started[-1].url, refiner_id="1"), started[-1]

    yield start
    for wire in started:
        wire.stop()


def posts(refiner: Server) -> int:
    return len(refiner.view("log"))


def test_a_file_is_refined(world: World, registered: Flow, refiner: Server) -> None:
    partner, ledger, item = registered

    done = world.until(partner, item, "await_refine", ledger, first="refine")

    assert done.saved["refinement"] == {"refiner_id": 1, "url": "https://refined.invalid/1/1"}
    assert partner.receipt(done)["refinement"] == done.saved["refinement"]
    assert "refine_job" not in done.saved


def test_a_refined_file_is_not_sent_again(world: World, registered: Flow, refiner: Server) -> None:
    partner, ledger, item = registered
    world.until(partner, item, "await_refine", ledger, first="refine")

    world.until(partner, item, "await_refine", ledger, first="refine")

    assert posts(refiner) == 1


def test_a_lost_answer_is_asked_again(world: World, registered: Flow, refiner: Server) -> None:
    partner, ledger, item = registered
    refiner.faults.arm(Fault(kind="refine_lost_response"))

    [lost] = ask(partner, "refine", [item])
    done = world.until(partner, item, "await_refine", ledger, first="refine")

    assert isinstance(lost, UnknownOutcome)
    assert "refinement" in done.saved


def test_a_failed_refinement_is_asked_for_again_later(world: World, registered: Flow, refiner: Server) -> None:
    partner, ledger, item = registered
    refiner.faults.arm(Fault(kind="refine_failed"))
    item = world.until(partner, item, "refine", ledger, first="refine")

    back = world.answer(partner, "await_refine", item)
    item = world.save(item, back)
    done = world.until(partner, item, "await_refine", ledger, first="refine")

    assert (back.step, back.changes) == ("refine", {"refine_job": None, "refine_tries": 1})
    assert back.after_s > 0
    assert "refine_tries" not in done.saved


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        ("REFINER_CONTAINER_FAILED: x", TransientError, "asked once more"),
        ("REFINER_NOT_FOUND: x", MisconfiguredError, "compare refiner_id with the registry"),
        ("FILE_DECRYPTION_FAILED: x", PermanentError, "cannot be opened with its key"),
        (None, TransientError, "without a code"),
    ],
)
def test_what_fails_for_the_third_time_is_told(
    world: World, say: Any, error: str | None, kind: type[Exception], remedy: str
) -> None:
    partner, wire = say({"job_id": "j", "status": "failed", "error": error})
    item = world.item(saved={"file_id": 1, "refine_job": "j", "refine_tries": 2})

    [told] = ask(partner, "await_refine", [item])

    assert type(told) is kind
    assert remedy in str(told)
    assert [request.split()[0] for request in wire.requests] == [b"GET", b"POST"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("REFINER_CONTAINER_FAILED: heart_rate 61", "answered REFINER_CONTAINER_FAILED;"),
        ("heart_rate 61: FILE_DECRYPTION_FAILED", "answered FILE_DECRYPTION_FAILED;"),
        (f"heart_rate 61 {KEY}", "answered without a code;"),
        ("A" * 61, "answered without a code;"),
        ({"heart_rate": 61}, "answered without a code;"),
    ],
)
def test_of_what_the_service_says_only_a_code_is_shown(world: World, say: Any, error: Any, shown: str) -> None:
    partner, _ = say({"job_id": "j", "status": "failed", "error": error})

    [told] = ask(partner, "await_refine", [world.item(saved={"file_id": 1, "refine_job": "j", "refine_tries": 2})])

    assert shown in told.message
    assert not [secret for secret in ("heart_rate", KEY, "AAA") if secret in told.message]


def test_a_job_that_the_service_forgot_is_started_anew(world: World, say: Any) -> None:
    partner, _ = say((404, {"error": "no such job"}))

    [back] = ask(partner, "await_refine", [world.item(saved={"file_id": 1, "refine_job": "j"})])

    assert back == Rewind(step="refine", changes={"refine_job": None})


def test_another_refusal_of_the_service_is_told(world: World, say: Any) -> None:
    partner, _ = say((422, {"error": "what?"}))

    [told] = ask(partner, "await_refine", [world.item(saved={"file_id": 1, "refine_job": "j"})])

    assert isinstance(told, PermanentError)
    assert told.http_status == 422


def test_the_old_service_answers_without_a_job(world: World, say: Any) -> None:
    partner, wire = say({"add_refinement_tx_hash": "0xabc"})
    item = world.item(saved={"file_id": 1})

    started = ask(partner, "refine", [item])
    [waits] = ask(partner, "await_refine", [item])

    assert started == [{}]
    assert isinstance(waits, NotReady)
    assert waits.at_most_s == 1800
    assert len(wire.requests) == 1


def test_the_service_gets_what_it_needs(world: World, say: Any) -> None:
    partner, wire = say({"job_id": "j"})

    ask(partner, "refine", [world.item(saved={"file_id": 1})])

    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /refine HTTP/1.1")
    assert b"Vana-Accept-Version: v2" in head
    assert json.loads(body) == {"file_id": 1, "refiner_id": 1, "encryption_key": KEY, "env_vars": {}}
