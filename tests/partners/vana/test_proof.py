"""One paid request for a file, whatever happens; the TEE told; our proof found among strangers'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partners.base import Item, Rewind
from partners.errors import NotReady, PermanentError, TransientError, UnknownOutcome
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.testing import MemoryLedger, ask
from partners.vana import abi
from partners.vana.adapter import VanaPartner
from partners.vana.chain import Action, Log, Receipt, Refused
from tests.partners.vana.world import FEE, World

ONE = 10**18
Flow = tuple[VanaPartner, MemoryLedger, Item]


@pytest.fixture
def tee(world: World) -> Server:
    return world.start_tee()


@pytest.fixture
def registered(world: World, tee: Server) -> Flow:
    partner = world.partner(request_proof="yes", tee_timeout_s="100000")
    ledger = world.ledger(partner)
    return partner, ledger, world.until(partner, world.item(), "confirm_register", ledger)


@pytest.fixture
def requested(world: World, registered: Flow) -> Flow:
    partner, ledger, item = registered
    return partner, ledger, world.until(partner, item, "confirm_request_proof", ledger, first="prepare_request_proof")


def jobs(world: World) -> int:
    return world.count("tee_pool", "jobsCount")


def request_as(world: World, role: str, file_id: int) -> None:
    data = abi.REQUEST_PROOF.encode(file_id)
    world.transact(role, Action(to=world.addresses.tee_pool, data=data, value_wei=FEE))
    world.node.mine()


def follow(world: World, flow: Flow, answer: Any, last: str) -> Item:
    """Go back as a Rewind says, and on from there through step `last`."""
    partner, ledger, item = flow
    steps = partner.active_steps(item.kind)
    while isinstance(answer, Rewind):
        item = world.save(item, answer)
        for step in steps[steps.index(answer.step) : steps.index(last) + 1]:
            answer = world.answer(partner, step, item, ledger)
            if isinstance(answer, Rewind):
                break
            item = world.save(item, answer)
    return item


def arm(tee: Server, kind: str, **fields: Any) -> None:
    tee.faults.arm(Fault(kind=kind, **fields))


def test_a_file_is_proved_and_the_secrets_are_forgotten(world: World, requested: Flow) -> None:
    partner, ledger, item = requested

    done = world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert done.saved["job_id"] == 1
    proof = done.saved["proof"]
    assert (proof["index"], proof["score"], proof["dlp_id"]) == (1, str(ONE), world.addresses.dlp_id)
    assert "ecies" in item.saved
    assert "ecies" not in done.saved
    assert partner.receipt(done)["proof"] == proof


def test_a_request_whose_save_was_lost_is_not_paid_again(world: World, registered: Flow) -> None:
    partner, ledger, item = registered
    world.until(partner, item, "send_request_proof", ledger, first="prepare_request_proof")

    done = world.until(partner, item, "confirm_request_proof", ledger, first="prepare_request_proof")

    assert (jobs(world), done.saved["job_id"]) == (1, 1)


def test_a_request_mined_before_its_save_was_lost_is_found(world: World, registered: Flow) -> None:
    partner, ledger, item = registered
    world.until(partner, item, "send_request_proof", ledger, first="prepare_request_proof")
    world.node.mine(10)

    prepared = world.answer(partner, "prepare_request_proof", item)
    done = world.until(partner, item, "confirm_request_proof", ledger, first="prepare_request_proof")

    assert prepared == {"job_id": 1, "request_proof_tx": {"generation": 0, "reverts": 0}}
    assert (jobs(world), done.saved["job_id"]) == (1, 1)


def test_a_request_that_a_lagging_node_does_not_show_is_not_paid_again(world: World, registered: Flow) -> None:
    partner, ledger, item = registered
    item = world.until(partner, item, "send_request_proof", ledger, first="prepare_request_proof")
    world.node.mine(10)
    world.arm("rpc_behind", match="eth_getTransactionReceipt", times=2, seconds=20, per_subject=2)

    answer = world.answer(partner, "confirm_request_proof", item)
    follow(world, (partner, ledger, item), answer, "confirm_request_proof")

    assert jobs(world) == 1


def test_the_request_of_somebody_else_is_not_ours(world: World, registered: Flow) -> None:
    partner, ledger, item = registered
    request_as(world, "stranger", 1)

    done = world.until(partner, item, "confirm_request_proof", ledger, first="prepare_request_proof")

    assert (jobs(world), done.saved["job_id"]) == (2, 2)


def test_our_proof_is_found_behind_a_strangers(world: World, requested: Flow) -> None:
    partner, ledger, item = requested
    forged = (b"\x11" * 65, (ONE, 1, "", "", "https://proof.invalid/v1"))
    data = abi.function(f"addProof(uint256,{abi.PROOF})").encode(1, forged)
    world.transact("stranger", Action(to=world.addresses.registry, data=data))
    world.node.mine()

    done = world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert done.saved["proof"]["index"] == 2


def test_a_proof_for_another_instruction_is_not_ours(world: World, requested: Flow) -> None:
    partner, ledger, item = requested
    item = world.until(partner, item, "run_proof", ledger, first="run_proof")
    while world.partner().client.jobs([1])[0][0].status == 1:
        world.mine()
    world.chain.admin.transact("dlp", "updateProofInstruction", "https://proof.invalid/v2")

    with pytest.raises(PermanentError, match="no proof of the file is signed by its TEE") as caught:
        world.insist(partner, "await_proof", item)

    assert caught.value.error_class == "proof"


def test_a_tee_that_never_proves_is_replaced_and_its_fee_comes_back(world: World, tee: Server, requested: Flow) -> None:
    partner, ledger, item = requested
    arm(tee, "proof_never")
    item = world.until(partner, item, "run_proof", ledger, first="run_proof")
    assert isinstance(ask(partner, "await_proof", [item])[0], NotReady)
    world.node.increase_time(200_000)
    world.node.mine()

    back = world.answer(partner, "await_proof", item)
    done = follow(world, (partner, ledger, item), back, "await_proof")

    client = partner.client
    assert back.step == "prepare_request_proof"
    assert (jobs(world), done.saved["job_id"]) == (2, 2)
    assert [job.status for job in client.jobs([1, 2])[0]] == [3, 2]
    assert client.balance_wei(world.addresses.tee_pool) == FEE
    assert done.saved["proof"]["index"] == 1


def test_a_tee_that_lost_its_work_is_asked_again(world: World, tee: Server, requested: Flow) -> None:
    partner, ledger, item = requested
    arm(tee, "proof_never")
    item = world.until(partner, item, "run_proof", ledger, first="run_proof")
    world.node.increase_time(30_000)
    world.node.mine()

    back = world.answer(partner, "await_proof", item)
    done = world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert back == Rewind(step="run_proof")
    assert (jobs(world), done.saved["proof"]["index"]) == (1, 1)
    assert "asked_at" not in done.saved


@pytest.mark.parametrize("step", ["run_proof", "await_proof"])
def test_a_request_cancelled_by_hand_is_made_anew(world: World, requested: Flow, step: str) -> None:
    partner, ledger, item = requested
    world.node.increase_time(200)
    world.node.mine()
    world.transact("signer", Action(to=world.addresses.tee_pool, data=abi.CANCEL_JOB.encode(1)))
    world.node.mine()

    back = world.answer(partner, step, item)

    assert back == Rewind(step="prepare_request_proof", changes={"proof_rounds": None})


def test_the_fifth_request_without_a_proof_is_told_and_its_tee_asked_once_more(
    world: World, tee: Server, requested: Flow
) -> None:
    partner, ledger, item = requested
    arm(tee, "proof_never", times=2, per_subject=2)
    item = world.until(partner, item, "run_proof", ledger, first="run_proof")
    world.node.increase_time(200_000)
    world.node.mine()

    fourth = world.answer(partner, "await_proof", replace(item, saved={**item.saved, "proof_rounds": 3}))
    fifth = replace(item, saved={**item.saved, **fourth.changes})
    [told] = ask(partner, "await_proof", [fifth])
    assert [entry["fault"] for entry in tee.view("log")] == ["proof_never", "proof_never"]
    ask(partner, "await_proof", [fifth])
    while partner.client.jobs([1])[0][0].status == 1:
        world.mine()
    done = world.until(partner, fifth, "await_proof", ledger, first="await_proof")

    assert (fourth.step, fourth.changes) == ("prepare_request_proof", {"proof_rounds": 4})
    assert type(told) is TransientError
    assert "5 requests" in told.message
    assert "cancel request 1" in told.message
    assert jobs(world) == 1
    assert "proof_rounds" not in done.saved


def test_the_fifth_tee_that_refuses_for_too_long_is_told(world: World, requested: Flow, tee: Server) -> None:
    partner, _, item = requested
    arm(tee, "runproof_500")
    world.node.increase_time(200_000)
    world.node.mine()

    [told] = ask(partner, "run_proof", [replace(item, saved={**item.saved, "proof_rounds": 4})])

    assert type(told) is TransientError
    assert "5 requests" in told.message


@pytest.mark.parametrize("step", ["run_proof", "await_proof"])
def test_a_request_that_the_node_does_not_know_yet_is_waited_for(requested: Flow, step: str) -> None:
    partner, _, item = requested

    [waits] = ask(partner, step, [replace(item, saved={**item.saved, "job_id": 99})])

    assert isinstance(waits, NotReady)


def test_a_proved_file_needs_no_run(world: World, requested: Flow) -> None:
    partner, ledger, item = requested
    world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert world.answer(partner, "run_proof", item) == {}


def test_a_tee_that_refuses_gets_its_time(requested: Flow, tee: Server) -> None:
    partner, _, item = requested
    arm(tee, "runproof_404")

    [waits] = ask(partner, "run_proof", [item])

    assert isinstance(waits, NotReady)
    assert waits.message.endswith("another TEE is asked after tee_timeout_s")


def test_a_tee_that_refuses_for_too_long_is_replaced(world: World, requested: Flow, tee: Server) -> None:
    partner, _, item = requested
    arm(tee, "runproof_500")
    world.node.increase_time(200_000)
    world.node.mine()

    back = world.answer(partner, "run_proof", item)

    assert back == Rewind(step="prepare_request_proof", changes={"proof_rounds": 1})


def test_a_broken_tee_is_tried_again(requested: Flow, tee: Server) -> None:
    partner, _, item = requested
    arm(tee, "runproof_500")

    [broken] = ask(partner, "run_proof", [item])

    assert isinstance(broken, TransientError)


def test_a_lost_answer_of_the_tee_is_asked_again_with_the_same_nonce(
    world: World, requested: Flow, tee: Server
) -> None:
    partner, ledger, item = requested
    arm(tee, "runproof_lost_response")

    [lost] = ask(partner, "run_proof", [item])
    done = world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert isinstance(lost, UnknownOutcome)
    assert done.saved["proof"]["index"] == 1
    assert [entry["job_id"] for entry in tee.view("log")] == [1, 1]


def test_a_request_is_read_among_logs_of_other_shapes(world: World) -> None:
    ours = (abi.JOB_SUBMITTED, abi.number_topic(4), abi.number_topic(1))
    logs = tuple(Log(topics=topics, data="0x") for topics in ((), ours[:2], ours))
    receipt = Receipt(tx_hash="0x", block=1, succeeded=True, to="0x", logs=logs)

    found = world.partner(request_proof="yes")._request.purpose.read(world.item(saved={"file_id": 1}), receipt)

    assert found == {"job_id": 4}


def test_a_proof_whose_numbers_no_database_holds_is_for_people(world: World, tee: Server, requested: Flow) -> None:
    partner, ledger, item = requested
    tee._sandbox._dlp_id = 2**63  # type: ignore[attr-defined]

    with pytest.raises(PermanentError, match="dlp_id is beyond 64 bits"):
        world.until(partner, item, "await_proof", ledger, first="run_proof")


def test_no_active_tee_is_tried_again(world: World) -> None:
    partner = world.partner(request_proof="yes")
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "confirm_register", ledger)

    [refused] = ask(partner, "prepare_request_proof", [item])

    assert isinstance(refused, TransientError)
    assert refused.code == "NoActiveTee"


def test_a_paused_pool_is_tried_again(world: World, registered: Flow) -> None:
    partner, _, item = registered
    world.chain.admin.transact("tee_pool", "pause")

    [refused] = ask(partner, "prepare_request_proof", [item])

    assert isinstance(refused, TransientError)
    assert (refused.code, refused.retry_after_s) == ("EnforcedPause", 0.1)


def test_a_request_may_not_be_cancelled_too_early(world: World) -> None:
    partner = world.partner(request_proof="yes")

    early = partner._request.purpose.refuse(Refused("CancelDelayNotPassed"))

    assert isinstance(early, NotReady)


def test_proof_asked_for_later_gets_secrets_of_its_own(world: World, tee: Server) -> None:
    first, partner = world.partner(), world.partner(request_proof="yes")
    ledger = world.ledger(first)
    (done,) = world.run(first, world.item(), ledger=ledger)

    (proved,) = world.run(partner, done, ledger=ledger)

    assert proved.saved["file_id"] == done.saved["file_id"] == 1
    assert proved.saved["proof"]["index"] == 1
    assert partner.verify(proved).present is True


def test_a_completed_request_is_found(world: World, requested: Flow) -> None:
    partner, ledger, item = requested
    item = world.until(partner, item, "await_proof", ledger, first="run_proof")

    prepared = world.answer(partner, "prepare_request_proof", item)

    assert prepared["job_id"] == 1
    assert jobs(world) == 1


def test_proofs_are_read_page_by_page(world: World, requested: Flow) -> None:
    partner, ledger, item = requested
    forged = (b"\x11" * 65, (ONE, 1, "", "", ""))
    data = abi.function(f"addProof(uint256,{abi.PROOF})").encode(1, forged)
    for nonce in range(33):
        world.transact("stranger", Action(to=world.addresses.registry, data=data), nonce=nonce)
    world.node.mine(2)

    done = world.until(partner, item, "await_proof", ledger, first="run_proof")

    assert done.saved["proof"]["index"] == 34
