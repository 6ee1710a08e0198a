"""TEEs and the refinement service as they are when they are ill: a proof is paid once, or its fee comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataunion.models import ChainTx
from partners.sandbox.chain.deploy import key_address, public_key
from partners.sandbox.faults import Fault
from tests.faults.way import Way

WORTHLESS = (bytes(65), (10**18, 1, "{}", "https://proof.invalid/other", "https://proof.invalid/v1"))


def arm_tee(way: Way, kind: str, **fields: Any) -> None:
    way.sandboxes.tee.faults.arm(Fault(kind=kind, **{"times": 1000, "per_subject": 1000, **fields}))


def requests(way: Way) -> list[int]:
    """Return the states of the file's proof requests: 1 submitted, 2 completed, 3 cancelled."""
    jobs = way.sandboxes.read("tee_pool", "fileJobIds", way.file_id(way.records()[0]))
    return [way.sandboxes.read("tee_pool", "jobs", job)[2] for job in jobs]


@pytest.mark.parametrize("kind", ["runproof_500", "runproof_404", "runproof_lost_response", "runproof_wrong_json"])
def test_a_tee_that_answers_badly_for_a_while_is_asked_again_at_no_second_fee(way: Way, kind: str) -> None:
    [record] = way.store("one")
    arm_tee(way, kind, times=3)

    way.go()

    assert requests(way) == [2]
    assert set(way.union.outcomes(record, "vana")) <= {"transient", "unknown", "synced"}
    way.assert_all_well(record, txs=3)


def test_a_tee_that_forgot_its_work_is_told_again(way: Way) -> None:
    way.configure(tee_timeout_s="40")
    [record] = way.store("one")
    arm_tee(way, "proof_never", times=1)

    way.go()

    assert requests(way) == [2]
    way.assert_all_well(record, txs=3)


@pytest.fixture
def _impatient(way: Way) -> Iterator[None]:
    """Have requests cancelled after 12 seconds of the chain's time."""
    way.configure(tee_timeout_s="12")
    with way.changed("tee_pool", ("updateCancelDelay", [5]), ("updateCancelDelay", [100])):
        yield


@pytest.mark.usefixtures("_impatient")
def test_a_tee_that_is_dead_gives_the_fee_back_and_another_request_is_paid(way: Way) -> None:
    [record] = way.store("one")
    arm_tee(way, "proof_never")

    way.go(until=lambda: way.file_id(record) and requests(way) == [3, 1])
    way.sandboxes.tee.faults.disarm()
    way.go()

    assert requests(way) == [3, 2]
    way.assert_all_well(record, txs=5, proofs=2)


@pytest.mark.usefixtures("_impatient")
def test_a_pool_whose_tees_never_prove_is_paid_five_times_and_then_told_of(way: Way) -> None:
    way.partner_has(max_attempts=2)
    [record] = way.store("one")
    arm_tee(way, "proof_never")

    way.go()

    job = way.job()
    assert (job.status, requests(way)) == ("failed", [3, 3, 3, 3, 1])
    assert "5 requests in a row brought no proof; see to the TeePool's TEEs and retry" in job.error_message
    way.sandboxes.tee.faults.disarm()
    way.partner_has(max_attempts=99)  # the TEE works in real time, and hours pass here
    way.retry()
    way.go()
    assert requests(way) == [3, 3, 3, 3, 2]
    way.assert_all_well(record, txs=ChainTx.objects.count(), proofs=5)


def test_a_pool_without_tee_is_waited_for(way: Way) -> None:
    [record] = way.store("one")
    key = way.chain.keys["tee"]
    back = [key_address(key), way.sandboxes.tee.url, public_key(key)]
    with way.changed("tee_pool", ("removeTee", [key_address(key)]), ("addTee", back)):
        way.go(until=lambda: "no TEE is active; Vana must add one" in way.job().error_message)
        assert (way.file_id(record) > 0, requests(way)) == (True, [])

    way.go()

    way.assert_all_well(record, txs=3)


def test_strangers_proofs_are_not_taken_for_ours(way: Way) -> None:
    """Anyone may add a proof to a file: a worthless one stands first."""
    [record] = way.store("one")
    way.go_broadcast("request_proof")
    way.add_proof_as_stranger(record, WORTHLESS)

    way.go()

    assert way.union.entry(record, "vana")["proof"]["index"] == 2
    way.assert_all_well(record, txs=3)


def test_a_proof_of_something_else_is_told_and_goes_on_once_the_dlp_takes_it(way: Way) -> None:
    """The DLP changes what a proof must follow while ours is made."""
    [record] = way.store("one")
    way.go_to("await_proof")
    ours = way.sandboxes.read("dlp", "proofInstruction")
    change = "updateProofInstruction"
    with way.changed("dlp", (change, ["https://proof.invalid/v2"]), (change, [ours])):
        way.go()
        job = way.job()
        assert (job.status, job.error_class) == ("failed", "proof")
        assert "no proof of the file is signed by its TEE for the DLP's instruction" in job.error_message
        assert requests(way) == [2]

    way.retry()
    way.go()

    way.assert_all_well(record, txs=3)


@pytest.mark.parametrize("kind", ["refine_500", "refine_lost_response", "refine_failed"])
def test_a_refinement_service_that_is_ill_for_a_while_is_asked_again(way: Way, kind: str) -> None:
    [record] = way.store("one")
    way.sandboxes.refiner.faults.arm(Fault(kind=kind, times=2, per_subject=2))

    way.go()

    assert set(way.union.outcomes(record, "vana")) <= {"transient", "unknown", "synced"}
    way.assert_all_well(record, txs=3)


def test_a_refinement_that_fails_for_good_is_told_and_goes_on_once_it_works(way: Way) -> None:
    way.partner_has(max_attempts=2)
    [record] = way.store("one")
    way.sandboxes.refiner.faults.arm(Fault(kind="refine_failed", times=1000, per_subject=1000))

    way.go()

    assert way.job().status == "failed"
    assert "refine: the service answered" in way.job().error_message
    way.sandboxes.refiner.faults.disarm()
    way.partner_has(max_attempts=99)
    way.retry()
    way.go()
    way.assert_all_well(record, txs=3)


def test_a_reward_that_the_dlp_refuses_is_told_and_paid_once_later(way: Way) -> None:
    way.partner_has(max_attempts=2)
    [record] = way.store("one")
    change = "updateFileRewardFactor"
    with way.changed("dlp", (change, [10**60]), (change, [10**18])):  # more than there is
        way.go()
        assert way.job().status == "failed"
        assert "reward: the DLP refused" in way.job().error_message

    way.retry()
    way.go()

    way.assert_all_well(record, txs=3)
