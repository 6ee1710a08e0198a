"""The TEE opens what it is given, proves only what the chain confirms, and proves it once."""

from __future__ import annotations

import json

import pytest
import requests

from partners.sandbox.chain.deploy import public_key
from partners.sandbox.faults import Fault
from partners.vana.encoding import ecies_seal, parse_public_key

ONE = 10**18


@pytest.fixture
def request_proof(signer, tee):
    """Return a function that asks the chain for a proof and gives RunProof's body."""

    def ask(contribution):
        signer.send("tee_pool", "requestContributionProof", contribution.file_id)
        return {
            "job_id": signer.read("tee_pool", "fileJobIds", contribution.file_id)[-1],
            "file_id": contribution.file_id,
            "nonce": "1",
            "proof_url": "https://proof.invalid/v1",
            "encryption_seed": "Please sign to retrieve your encryption key",
            "env_vars": {},
            "encryption_key": contribution.password,
            "validate_permissions": [contribution.permission],
        }

    return ask


@pytest.fixture
def finish(tee, wait_until):
    """Return a function that posts a job and gives its final state."""

    def run(body):
        answer = requests.post(f"{tee.url}/RunProof", json=body, timeout=5)
        assert (answer.status_code, answer.json()) == (200, {"job_id": body["job_id"], "status": "submitted"})
        return wait_until(lambda: ended(tee, body["job_id"]))

    return run


def ended(tee, job_id):
    state = tee.view("jobs").get(str(job_id))
    return state if state and state["status"] != "processing" else None


def job_status(signer, job_id):
    return signer.read("tee_pool", "jobs", job_id)[2]


def test_a_file_is_proved_on_chain(tee, contribute, request_proof, finish, signer, addresses):
    body = request_proof(contribute())

    state = finish(body)

    assert (state["status"], state["error"]) == ("completed", None)
    assert job_status(signer, body["job_id"]) == 2
    signature, (score, dlp_id, metadata, proof_url, instruction) = signer.read(
        "registry", "fileProofs", body["file_id"], 1
    )
    assert (len(signature), score, dlp_id, instruction) == (65, ONE, addresses["dlp_id"], "https://proof.invalid/v1")
    assert json.loads(metadata) == {"dlp_id": addresses["dlp_id"], "valid": True, "size": 12}
    assert requests.get(proof_url, timeout=5).json() == state


def test_the_dlp_accepts_the_proof_and_rewards_its_owner(contribute, request_proof, finish, signer):
    body = request_proof(contribute())
    finish(body)
    before = signer.read("dlp", "balanceOf", signer.address)

    signer.send("dlp", "requestReward", body["file_id"], 1)

    assert signer.read("dlp", "balanceOf", signer.address) - before == ONE


def test_the_tee_joins_the_pool_with_its_address_and_key(tee, chain, signer):
    [active] = signer.read("tee_pool", "activeTeeList")

    info = signer.read("tee_pool", "tees", active)

    assert (info[1], info[6]) == (tee.url, public_key(chain.keys["tee"]))


def test_the_key_may_come_encrypted_for_the_tee(chain, contribute, request_proof, finish):
    contribution = contribute()
    body = request_proof(contribution)
    key = parse_public_key(public_key(chain.keys["tee"]))
    del body["encryption_key"]
    body["encrypted_encryption_key"] = ecies_seal(key, contribution.password.encode()).blob

    assert finish(body)["status"] == "completed"


def test_a_job_asked_for_twice_is_proved_once(contribute, request_proof, finish, signer):
    body = request_proof(contribute())
    first = finish(body)

    second = finish(body)

    assert (first["transaction_hash"][:2], second["transaction_hash"]) == ("0x", "")
    assert signer.read("registry", "fileProofs", body["file_id"], 2)[0] == b""


def test_a_job_that_is_being_worked_on_is_not_begun_again(chain, tee, contribute, request_proof, finish, signer):
    body = request_proof(contribute())
    chain.faults.arm(Fault(kind="rpc_500", match="^eth_call$"))
    requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert finish(body)["transaction_hash"] != ""
    assert signer.read("registry", "fileProofs", body["file_id"], 2)[0] == b""


def test_files_are_proved_side_by_side(tee, contribute, request_proof, wait_until):
    bodies = [request_proof(contribute()) for _ in range(5)]
    for body in bodies:
        requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    states = [wait_until(lambda job=body["job_id"]: ended(tee, job)) for body in bodies]

    assert [state["status"] for state in states] == ["completed"] * 5
    assert len({state["transaction_hash"] for state in states}) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file_id": 10**6}, "WRONG_JOB: the chain gave this job"),
        ({"job_id": 10**6}, "WRONG_JOB: the chain gave this job"),
        ({"encryption_key": "0x" + "00" * 32}, "FILE_DECRYPTION_FAILED"),
        ({"encryption_key": ""}, "INVALID_ENCRYPTION_KEY"),
        ({"validate_permissions": [{"address": "nonsense"}]}, "public_key"),
        ({"validate_permissions": ["nonsense"]}, "indices"),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_the_reason(contribute, request_proof, finish, signer, changes, said):
    body = request_proof(contribute())

    state = finish({**body, **changes})

    assert state["status"] == "failed"
    assert said in state["error"]
    assert job_status(signer, body["job_id"]) == 1


def test_a_permission_that_is_not_the_one_on_chain_is_not_proved(contribute, request_proof, finish):
    body = request_proof(contribute())
    body["validate_permissions"][0]["iv"] = "00" * 16

    assert finish(body)["error"].startswith("PERMISSION_MISMATCH")


def test_a_cancelled_job_is_not_proved(chain, contribute, request_proof, finish, signer):
    body = request_proof(contribute())
    chain.admin.transact("tee_pool", "updateCancelDelay", 0)
    signer.send("tee_pool", "cancelJob", body["job_id"])

    assert finish(body)["error"] == "WRONG_JOB: the job is not open on chain"


def test_a_file_that_is_nowhere_is_not_proved(contribute, request_proof, finish, s3):
    body = request_proof(contribute(stored=False))

    assert finish(body)["error"].startswith("FILE_DOWNLOAD_FAILED")
    assert len(s3.log()) == 10


def test_a_file_that_is_not_there_yet_is_asked_for_again(contribute, request_proof, finish, s3):
    body = request_proof(contribute())
    s3.faults.arm(Fault(kind="get_404"))

    assert finish(body)["status"] == "completed"
    assert s3.faults.counts() == {"get_404": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "the body should be a JSON object"),
        ({"job_id": "1"}, "job_id should be of type int"),
        ({"job_id": 1, "file_id": 1}, "nonce should be of type str"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(tee, body, said):
    answer = requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert (answer.status_code, answer.json()) == (400, {"error": said})


@pytest.mark.parametrize(("method", "path"), [("GET", "/RunProof"), ("GET", "/proofs/7"), ("POST", "/elsewhere")])
def test_there_is_nothing_else(tee, method, path):
    assert requests.request(method, tee.url + path, timeout=5).status_code == 404


@pytest.mark.parametrize(("kind", "status"), [("runproof_500", 500), ("runproof_404", 404)])
def test_a_refused_job_is_not_begun(tee, contribute, request_proof, finish, kind, status):
    body = request_proof(contribute())
    tee.faults.arm(Fault(kind=kind, match=f"^{body['job_id']}$"))

    answer = requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert (answer.status_code, tee.view("jobs")) == (status, {})
    assert (tee.log()[0]["job_id"], tee.log()[0]["fault"], tee.log()[0]["status"]) == (body["job_id"], kind, status)
    assert finish(body)["status"] == "completed"


def test_a_job_that_times_out_is_not_begun(tee, contribute, request_proof):
    tee.faults.arm(Fault(kind="runproof_timeout", seconds=0.01))

    with pytest.raises(requests.ConnectionError):
        requests.post(f"{tee.url}/RunProof", json=request_proof(contribute()), timeout=5)

    assert (tee.view("jobs"), tee.log()[0]["held"]) == ({}, False)


def test_a_job_whose_answer_is_lost_is_done(tee, contribute, request_proof, wait_until):
    body = request_proof(contribute())
    tee.faults.arm(Fault(kind="runproof_lost_response"))

    with pytest.raises(requests.ConnectionError):
        requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert wait_until(lambda: ended(tee, body["job_id"]))["status"] == "completed"


def test_a_job_answered_with_broken_json_is_done(tee, contribute, request_proof, wait_until):
    body = request_proof(contribute())
    tee.faults.arm(Fault(kind="runproof_wrong_json"))

    answer = requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert wait_until(lambda: ended(tee, body["job_id"]))["status"] == "completed"


def test_a_dead_tee_accepts_and_never_proves(tee, contribute, request_proof, signer):
    body = request_proof(contribute())
    tee.faults.arm(Fault(kind="proof_never"))

    answer = requests.post(f"{tee.url}/RunProof", json=body, timeout=5)

    assert (answer.status_code, tee.view("jobs"), job_status(signer, body["job_id"])) == (200, {}, 1)
