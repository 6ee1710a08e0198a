"""The refinement service opens the file and puts the result's key on chain for the query engine."""

from __future__ import annotations

import pytest
import requests

from partners.sandbox.chain.deploy import key_address
from partners.sandbox.faults import Fault
from partners.vana.encoding import ecies_decrypt, refinement_key

V2 = {"Vana-Accept-Version": "v2"}


@pytest.fixture
def asking(addresses):
    """Return a function that gives the body for a contribution."""

    def make(contribution, **changes):
        body = {
            "file_id": contribution.file_id,
            "encryption_key": contribution.password,
            "refiner_id": addresses["refiner_id"],
            "env_vars": {},
        }
        return {**body, **changes}

    return make


def post(refiner, body, headers=V2):
    return requests.post(f"{refiner.url}/refine", json=body, headers=headers, timeout=15)


@pytest.fixture
def finish(refiner, wait_until):
    """Return a function that posts a job and polls until it ended."""

    def run(body):
        answer = post(refiner, body)
        assert (answer.status_code, answer.json()["status"]) == (200, "submitted")
        url = f"{refiner.url}/refine/{answer.json()['job_id']}"

        def state():
            seen = requests.get(url, timeout=5).json()
            return seen if seen["status"] != "processing" else None

        return wait_until(state)

    return run


def test_a_refined_file_has_a_url_and_a_key_on_chain(chain, contribute, asking, finish, signer, addresses):
    contribution = contribute()

    state = finish(asking(contribution))

    assert (state["status"], state["error"]) == ("completed", None)
    receipt = signer.rpc("eth_getTransactionReceipt", state["transaction_hash"])
    assert receipt["to"].lower() == addresses["registry"].lower()
    file_id, refiner_id = contribution.file_id, addresses["refiner_id"]
    refined = signer.read("registry", "fileRefinements", file_id, refiner_id)
    assert refined == f"https://refined.invalid/{refiner_id}/{file_id}"
    key = signer.read("registry", "filePermissions", file_id, key_address(chain.keys["refiner"]))
    dlp_key = bytes.fromhex(chain.keys["dlp"][2:])
    assert ecies_decrypt(dlp_key, key).decode() == refinement_key(contribution.password)


def test_refining_again_is_no_error(contribute, asking, finish):
    body = asking(contribute())

    assert [finish(body)["status"], finish(body)["status"]] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"file_id": 10**6}, "FILE_NOT_FOUND"),
        ({"refiner_id": 10**6}, "REFINER_NOT_FOUND"),
        ({"encryption_key": "0x" + "00" * 32}, "FILE_DECRYPTION_FAILED"),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_its_code(contribute, asking, finish, changes, code):
    state = finish(asking(contribute(), **changes))

    assert (state["status"], state["error"].partition(":")[0]) == ("failed", code)


def test_a_dlp_without_a_public_key_has_its_own_code(chain, contribute, asking, finish, signer):
    key = signer.read("dlp", "publicKey")
    chain.admin.transact("dlp", "updatePublicKey", "")

    state = finish(asking(contribute()))

    chain.admin.transact("dlp", "updatePublicKey", key)
    assert state["error"].startswith("REFINER_DLP_PUBLIC_KEY_NOT_FOUND")


def test_version_one_answers_when_all_is_done(refiner, contribute, asking, signer):
    answer = post(refiner, asking(contribute()), headers={})

    assert answer.status_code == 200
    assert signer.rpc("eth_getTransactionReceipt", answer.json()["add_refinement_tx_hash"])["status"] == "0x1"


def test_version_one_answers_with_the_error(refiner, contribute, asking):
    answer = post(refiner, asking(contribute(), file_id=10**6), headers={})

    assert (answer.status_code, answer.json()["error_code"]) == (400, "FILE_NOT_FOUND")


def test_version_one_answers_when_the_chain_refuses(chain, refiner, contribute, asking):
    body = asking(contribute())
    chain.admin.transact("registry", "pause")

    answer = post(refiner, body, headers={})

    chain.admin.transact("registry", "unpause")
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"file_id": 1, "refiner_id": 1, "encryption_key": "secret"}, 400, "INVALID_ENCRYPTION_KEY"),
        ({"file_id": 1, "refiner_id": 1, "encryption_key": "0x1234"}, 400, "INVALID_ENCRYPTION_KEY"),
        ({"file_id": "1"}, 422, "INVALID_REQUEST"),
    ],
)
def test_a_malformed_request_is_refused_with_its_code(refiner, body, status, code):
    answer = post(refiner, body)

    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(("method", "path"), [("GET", "/refine/unknown"), ("GET", "/refine"), ("POST", "/elsewhere")])
def test_there_is_nothing_else(refiner, method, path):
    assert requests.request(method, refiner.url + path, timeout=5).status_code == 404


def test_a_refused_job_is_not_begun(refiner, contribute, asking):
    contribution = contribute()
    refiner.faults.arm(Fault(kind="refine_500", match=f"^{contribution.file_id}$"))

    answer = post(refiner, asking(contribution))

    assert (answer.status_code, refiner.view("jobs")) == (500, {})
    assert (refiner.log()[0]["file_id"], refiner.log()[0]["fault"]) == (contribution.file_id, "refine_500")


def test_a_job_may_fail_in_its_container(refiner, contribute, asking, finish):
    refiner.faults.arm(Fault(kind="refine_failed"))

    state = finish(asking(contribute()))

    assert (state["status"], state["transaction_hash"]) == ("failed", None)
    assert state["error"] == "REFINER_CONTAINER_FAILED: the sandbox was told to"


def test_a_job_whose_answer_is_lost_is_done(refiner, contribute, asking, signer, addresses, wait_until):
    contribution = contribute()
    refiner.faults.arm(Fault(kind="refine_lost_response"))

    with pytest.raises(requests.ConnectionError):
        post(refiner, asking(contribution))

    assert wait_until(lambda: signer.read("registry", "fileRefinements", contribution.file_id, addresses["refiner_id"]))
