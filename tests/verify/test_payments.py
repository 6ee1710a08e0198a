"""The verification of proofs, rewards and refinements: each paid once, none missing."""

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak


def pay_for_proof(estate, file_id):
    """Ask for a proof, as the owner; return the job's id."""
    estate.transact("tee_pool", "requestContributionProof", file_id)
    estate.jobs = getattr(estate, "jobs", 0) + 1
    return estate.jobs


def prove(estate, file_id, place):
    """Pay for a proof and give it, as the TEE."""
    proof = (10**18, 1, "{}", "https://proofs.invalid/1", "https://proof.invalid/v1")
    packed = encode_packed(["string", "uint256", "uint256", "string", "string", "string"], [estate.url(place), *proof])
    signed = Account.sign_message(encode_defunct(keccak(packed)), estate.chain.keys["tee"])
    estate.transact("tee_pool", "addProof", pay_for_proof(estate, file_id), (bytes(signed.signature), proof))


@pytest.fixture
def proved(estate):
    """All three records proved and rewarded, none refined."""
    for file_id, place in enumerate(("health/one", "checkin/two", "health/three"), start=1):
        prove(estate, file_id, place)
        estate.transact("dlp", "requestReward", file_id, 1)
    return estate


def expect(estate, *more):
    return estate.verify("--tee-pool", estate.chain.addresses.tee_pool, "--expect-proof", "--expect-reward", *more)


def test_proofs_and_rewards_paid_once_are_all_right(proved):
    assert expect(proved) == []
    assert {name: proved.report["counts"][name] for name in ("proof_jobs", "proofs", "rewards")} == {
        "proof_jobs": 3,
        "proofs": 3,
        "rewards": 3,
    }


def test_records_without_proof_or_reward_are_named(proved):
    file_id = proved.deliver("c/4.json", b"4", "health/four")

    assert expect(proved) == [
        ("proof_missing", f"file {file_id}"),
        ("proof_paid", f"file {file_id}"),
        ("reward_count", f"file {file_id}"),
    ]
    assert proved.verify("--tee-pool", proved.chain.addresses.tee_pool) == []


def test_a_proof_paid_twice_or_not_finished_is_named(proved):
    pay_for_proof(proved, 2)

    assert expect(proved) == [("proof_paid", "file 2"), ("proof_unfinished", "file 2")]
    assert proved.report["findings"][0]["detail"] == "2 paid proof jobs instead of 1: 2, 4"


def test_a_job_that_was_cancelled_is_not_paid(proved):
    job_id = pay_for_proof(proved, 2)
    proved.chain.node.increase_time(200)
    proved.transact("tee_pool", "cancelJob", job_id)

    assert expect(proved) == []


def test_a_reward_claimed_twice_is_named(proved):
    file_id = proved.deliver("c/4.json", b"4", "health/four")
    prove(proved, file_id, "health/four")
    proved.transact("dlp", "updateFileRewardFactor", 0)
    proved.transact("dlp", "requestReward", file_id, 1)
    proved.transact("dlp", "requestReward", file_id, 1)

    assert expect(proved) == [("reward_count", "file 4")]


def test_a_record_that_was_not_refined_is_named(estate):
    dlp, refiner = estate.chain.addresses.dlp, estate.owner
    estate.transact("refiner_registry", "addRefinementService", 1, refiner)
    for file_id in (1, 3):
        estate.transact("registry", "addRefinementWithPermission", file_id, 1, "https://refined.invalid", dlp, "")

    assert estate.verify("--refiner-id", "1") == [("refinement_missing", "file 2")]
    assert estate.report["counts"]["refinements"] == 2
