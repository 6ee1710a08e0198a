"""What the project relies on of Vana's contracts and of a chain's mempool, one function each.

`./run bench chain-behaviours` looks at the sandbox; with `--rpc URL --addresses FILE` at any chain with the contracts.
The file is the JSON of `partners.sandbox.chain.deploy.Addresses`, and may hold "keys": {role: private key}; else the
environment does, as CHAIN_KEY_SIGNER and so on. Roles: signer (must hold money), stranger (made and paid by the signer
when missing), tee, refiner, admin. What a missing key or a clock that cannot be moved forbids is listed as not run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks._chain import (
    BEHAVIOURS,
    KEY,
    ONE,
    Chain,
    NotRun,
    RpcError,
    behaviour,
    expect,
    need_tee,
    open_chain,
    prove,
    register,
    request_proof,
    run,
    selector,
    topic,
    transfer,
)

OTHER_KEY = "cd" * 257


@behaviour
def the_registry_is_version_2_and_runs(chain: Chain) -> None:
    expect(chain.view("registry", "version"), 2, "version()")
    expect(chain.view("registry", "paused"), False, "paused()")


@behaviour
def an_unknown_file_is_zeros(chain: Chain) -> None:
    zero = "0x" + "00" * 20
    expect(chain.view("registry", "files", 10**12), (10**12, zero, "", 0, 0), "files() of an unknown id")
    expect(chain.view("registry", "fileIdByUrl", chain.new_url()), 0, "the id of an unknown URL")
    expect(chain.view("registry", "filePermissions", 10**12, zero), "", "the permission of an unknown file")
    expect(chain.view("registry", "fileProofs", 10**12, 1), (b"", (0, 0, "", "", "")), "the proof of an unknown file")


@behaviour
def a_registration_stores_owner_key_and_block_and_its_logs_lead_to_the_transaction(chain: Chain) -> None:
    url, owner, dlp = chain.new_url(), chain.address("signer"), chain.addresses["dlp"]

    receipt = chain.transact("signer", "registry", "addFileWithPermissions", url, owner, [(dlp, KEY)])

    file_id = chain.view("registry", "fileIdByUrl", url)
    block = int(receipt["blockNumber"], 16)
    expect(chain.view("registry", "files", file_id), (file_id, owner.lower(), url, 0, block), "files()")
    expect(chain.view("registry", "filePermissions", file_id, dlp), KEY, "the DLP's key")
    for signature in ("FileAdded(uint256,address,string)", "FileAddedV2(uint256,address,string,uint256)"):
        events = chain.events(receipt, signature)
        expect([event[:2] for event in events], [[topic(file_id), topic(owner)]], signature)
    granted = chain.events(receipt, "PermissionGranted(uint256,address)")
    expect(granted, [[topic(file_id), topic(dlp), "0x"]], "PermissionGranted")
    wanted = {"fromBlock": hex(block), "toBlock": hex(block), "address": chain.addresses["registry"]}
    logs = chain.rpc("eth_getLogs", wanted | {"topics": [None, topic(file_id)]})
    expect({log["transactionHash"] for log in logs}, {receipt["transactionHash"]}, "the transaction in the logs")


@behaviour
def a_url_is_registered_once_by_whomever(chain: Chain) -> None:
    url = chain.new_url()
    file_id = register(chain, url)
    refused = selector("FileUrlAlreadyUsed()")

    expect(chain.refusal("signer", "registry", "addFile", url), refused, "the same URL again")
    expect(chain.refusal("stranger", "registry", "addFile", url), refused, "the same URL by a stranger")
    try:
        chain.sign("signer", "registry", "addFile", url)
    except RpcError as error:
        expect(error.data, refused, "the same URL in eth_estimateGas")
    receipt = chain.transact("stranger", "registry", "addFile", url, gas=300_000)
    expect(receipt["status"], "0x0", "the status of the same URL, sent all the same")
    expect(receipt["logs"], [], "its logs")
    expect(chain.view("registry", "fileIdByUrl", url), file_id, "the id of the URL")


@behaviour
def a_url_is_its_exact_bytes(chain: Chain) -> None:
    url = chain.new_url()
    register(chain, url)

    for other in (url + "/", url.upper(), " " + url):
        expect(chain.view("registry", "fileIdByUrl", other), 0, f"the id of {other!r}")
        expect(chain.refusal("signer", "registry", "addFile", other), "", f"what is said of {other!r}")


@behaviour
def the_empty_url_is_a_url(chain: Chain) -> None:
    known = chain.view("registry", "fileIdByUrl", "")
    expected = selector("FileUrlAlreadyUsed()") if known else ""
    expect(chain.refusal("signer", "registry", "addFile", ""), expected, "the empty URL")


@behaviour
def anyone_registers_for_any_owner_but_only_the_owner_adds_keys(chain: Chain) -> None:
    file_id = register(chain, chain.new_url(), by="stranger", owner="signer")
    expect(chain.view("registry", "files", file_id)[1], chain.address("signer").lower(), "the owner")

    args = (file_id, chain.addresses["dlp"], OTHER_KEY)
    said = chain.refusal("stranger", "registry", "addFilePermission", *args)
    expect(said, selector("NotFileOwner()"), "a stranger's key")
    expect(chain.refusal("signer", "registry", "addFilePermission", *args), "", "the owner's key")


@behaviour
def a_registration_can_be_front_run(chain: Chain) -> None:
    url, nonce = chain.new_url(), chain.next_nonce("signer")
    args = (url, chain.address("signer"), [(chain.addresses["dlp"], KEY)])
    victim = chain.sign("signer", "registry", "addFileWithPermissions", *args, nonce=nonce + 1)
    expect(chain.broadcast(victim), "", "what is said of the victim's transaction, which waits for a nonce")

    chain.transact("stranger", "registry", "addFile", url)
    chain.broadcast(chain.sign_raw("signer", to=chain.address("signer"), gas=21_000, nonce=nonce))

    expect(chain.receipt(victim.hash)["status"], "0x0", "the victim's status")
    owner = chain.view("registry", "files", chain.view("registry", "fileIdByUrl", url))[1]
    expect(owner, chain.address("stranger").lower(), "the owner of the URL")


@behaviour
def a_key_is_overwritten_and_blanked_with_the_same_event(chain: Chain) -> None:
    file_id, dlp = register(chain, chain.new_url()), chain.addresses["dlp"]

    for key in (OTHER_KEY, ""):
        receipt = chain.transact("signer", "registry", "addFilePermission", file_id, dlp, key)
        events = chain.events(receipt, "PermissionGranted(uint256,address)")
        expect(events, [[topic(file_id), topic(dlp), "0x"]], "PermissionGranted")
        expect(chain.view("registry", "filePermissions", file_id, dlp), key, "the stored key")


@behaviour
def adding_permissions_with_schema_emits_the_file_again(chain: Chain) -> None:
    file_id = register(chain, chain.new_url())

    receipt = chain.transact("signer", "registry", "addFilePermissionsAndSchema", file_id, [], 0)

    events = chain.events(receipt, "FileAddedV2(uint256,address,string,uint256)")
    expect([event[0] for event in events], [topic(file_id)], "FileAddedV2")
    expect(chain.events(receipt, "FileAdded(uint256,address,string)"), [], "FileAdded")


@behaviour
def an_unknown_schema_is_refused_with_its_id(chain: Chain) -> None:
    if int(chain.view("registry", "dataRefinerRegistry"), 16) == 0:
        raise NotRun("the registry knows no refiner registry")
    said = chain.refusal("signer", "registry", "addFileWithSchema", chain.new_url(), 10**12)
    expect(said, selector("InvalidSchemaId(uint256)", 10**12), "an unknown schema")


@behaviour
def anyone_adds_proofs_counted_from_one(chain: Chain) -> None:
    url = chain.new_url()
    file_id = register(chain, url)
    proof = chain.attest("stranger", url, ONE, 7, "instruction")

    for index in (1, 2):
        receipt = chain.transact("stranger", "registry", "addProof", file_id, proof)
        event = chain.events(receipt, "ProofAdded(uint256,address,uint256,uint256,uint256,string)")[0]
        expect(event[:3], [topic(file_id), topic(chain.address("signer")), topic(7)], "ProofAdded")
        expect(int(event[3][2:66], 16), index, "the proof's index")
        expect(chain.view("registry", "fileProofs", file_id, index), proof, "the stored proof")
    expect(chain.refusal("stranger", "registry", "addProof", 10**12, proof), "", "a proof of an unknown file")


@behaviour
def a_refinement_updates_its_url_but_never_a_key(chain: Chain) -> None:
    account, refiner_id = chain.address("stranger"), chain.addresses["refiner_id"]
    file_id = register(chain, chain.new_url())

    def args(url: str, key: str, file: int = file_id) -> tuple[int, int, str, str, str]:
        return file, refiner_id, url, account, key

    add = "addRefinementWithPermission"
    expect(chain.refusal("stranger", "registry", add, *args("u", KEY)), selector("NoPermission()"), "a stranger")
    said = chain.refusal("refiner", "registry", add, *args("u", KEY, 10**12))
    expect(said, selector("FileNotFound()"), "an unknown file")
    expect(chain.refusal("refiner", "registry", add, *args("", KEY)), selector("InvalidUrl()"), "an empty URL")
    for url, key, event in (("first", KEY, "RefinementAdded"), ("second", OTHER_KEY, "RefinementUpdated")):
        receipt = chain.transact("refiner", "registry", add, *args(url, key))
        found = chain.events(receipt, f"{event}(uint256,uint256,string)")
        expect([entry[:2] for entry in found], [[topic(file_id), topic(refiner_id)]], event)
        expect(chain.view("registry", "fileRefinements", file_id, refiner_id), url, "the refinement")
        expect(chain.view("registry", "filePermissions", file_id, account), KEY, "the account's key")


@behaviour
def the_refiner_belongs_to_the_dlp(chain: Chain) -> None:
    refiner = chain.view("refiner_registry", "refiners", chain.addresses["refiner_id"])
    expect(refiner[0], chain.addresses["dlp_id"], "the DLP of the refiner")


@behaviour
def a_paused_registry_refuses(chain: Chain) -> None:
    chain.transact("admin", "registry", "pause")
    try:
        said = chain.refusal("signer", "registry", "addFile", chain.new_url())
    finally:
        chain.transact("admin", "registry", "unpause")
    expect(said, selector("EnforcedPause()"), "a registration while paused")
    expect(chain.refusal("signer", "registry", "addFile", chain.new_url()), "", "a registration afterwards")


@behaviour
def too_small_a_fee_is_refused(chain: Chain) -> None:
    need_tee(chain)
    fee = chain.view("tee_pool", "teeFee")
    if fee == 0:
        raise NotRun("proofs are free here")
    said = chain.refusal("signer", "tee_pool", "requestContributionProof", 1, value=fee - 1)
    expect(said, selector("InsufficientFee()"), "a wei too little")


@behaviour
def every_proof_request_makes_and_pays_a_new_job(chain: Chain) -> None:
    need_tee(chain)
    file_id = register(chain, chain.new_url())
    pool, fee = chain.addresses["tee_pool"], chain.view("tee_pool", "teeFee")
    held, tees = chain.balance(pool), chain.view("tee_pool", "activeTeeList")

    jobs = [request_proof(chain, file_id), request_proof(chain, file_id, extra_wei=3)]

    expect(chain.view("tee_pool", "fileJobIds", file_id), tuple(jobs), "fileJobIds")
    expect(chain.balance(pool) - held, 2 * fee + 3, "what the pool was paid")
    for job_id, bid in zip(jobs, (fee, fee + 3), strict=True):
        job = chain.view("tee_pool", "jobs", job_id)
        expect(job[:3], (file_id, bid, 1), "file, bid and status of the job")
        expect(job[4:], (chain.address("signer").lower(), tees[job_id % len(tees)]), "owner and TEE of the job")
    absent = chain.refusal("signer", "tee_pool", "requestContributionProof", 10**12, value=fee)
    expect(absent, "", "a proof of an unknown file")


@behaviour
def a_job_is_cancelled_by_its_owner_once_the_delay_has_passed(chain: Chain) -> None:
    need_tee(chain)
    job_id = request_proof(chain, register(chain, chain.new_url()))
    delay, fee = chain.view("tee_pool", "cancelDelay"), chain.view("tee_pool", "teeFee")

    expect(chain.refusal("stranger", "tee_pool", "cancelJob", job_id), selector("NotJobOwner()"), "a stranger")
    if delay > 30:
        early = chain.refusal("signer", "tee_pool", "cancelJob", job_id)
        expect(early, selector("CancelDelayNotPassed()"), "too early")
    chain.later(delay + 1)
    held = chain.balance(chain.addresses["tee_pool"])
    receipt = chain.transact("signer", "tee_pool", "cancelJob", job_id)

    expect(chain.events(receipt, "JobCanceled(uint256)"), [[topic(job_id), "0x"]], "JobCanceled")
    expect(held - chain.balance(chain.addresses["tee_pool"]), fee, "what was paid back")
    expect(chain.view("tee_pool", "jobs", job_id)[2], 3, "the job's status")
    again = chain.refusal("signer", "tee_pool", "cancelJob", job_id)
    expect(again, selector("InvalidJobStatus()"), "cancelling again")


@behaviour
def only_the_chosen_tee_completes_a_job_and_only_once(chain: Chain) -> None:
    need_tee(chain)
    tee, url = chain.address("tee"), chain.new_url()
    file_id = register(chain, url)
    job_id = request_proof(chain, file_id)
    if chain.view("tee_pool", "jobs", job_id)[5] != tee.lower():
        raise NotRun("the job went to another TEE")
    proof = chain.attest("tee", url, ONE, chain.addresses["dlp_id"], "")

    expect(chain.refusal("stranger", "tee_pool", "addProof", job_id, proof), selector("TeeNotActive()"), "a stranger")
    receipt = chain.transact("tee", "tee_pool", "addProof", job_id, proof)

    events = chain.events(receipt, "ProofAdded(address,uint256,uint256)")
    expect(events, [[topic(tee), topic(job_id), topic(file_id), "0x"]], "ProofAdded")
    expect(chain.view("tee_pool", "jobs", job_id)[2], 2, "the job's status")
    expect(chain.view("registry", "fileProofs", file_id, 1), proof, "the registry's proof")
    again = chain.refusal("tee", "tee_pool", "addProof", job_id, proof)
    expect(again, selector("InvalidJobStatus()"), "proving again")


@behaviour
def a_reward_is_paid_to_the_owner_once(chain: Chain) -> None:
    chain.key("tee")
    url = chain.new_url()
    file_id = register(chain, url)
    prove(chain, file_id, url, by="tee")
    amount = chain.view("dlp", "fileRewardFactor") // 2

    receipt = chain.transact("stranger", "dlp", "requestReward", file_id, 1)

    event = chain.events(receipt, "RewardRequested(address,uint256,uint256,uint256)")[0]
    expect(event, [topic(chain.address("signer")), topic(file_id), topic(1), topic(amount)], "RewardRequested")
    again = chain.refusal("signer", "dlp", "requestReward", file_id, 1)
    expect(again, selector("FileAlreadyAdded()"), "a second reward")


@behaviour
def a_reward_needs_the_right_instruction_score_and_signer(chain: Chain) -> None:
    chain.key("tee")
    url = chain.new_url()
    file_id = register(chain, url)
    prove(chain, file_id, url, by="tee", instruction="another")
    prove(chain, file_id, url, by="tee", score=0)
    prove(chain, file_id, url, by="stranger")

    for index, error in (
        (1, "InvalidProof()"),
        (2, "InvalidScore()"),
        (3, "InvalidAttestator()"),
        (4, "InvalidProof()"),
    ):
        said = chain.refusal("signer", "dlp", "requestReward", file_id, index)
        expect(said, selector(error), f"the reward for proof {index}")


@behaviour
def a_nonce_gap_waits_until_it_is_filled(chain: Chain) -> None:
    nonce = chain.next_nonce("signer")
    second, first = transfer(chain, nonce + 1), transfer(chain, nonce)

    expect(chain.broadcast(second), "", "what is said of a gap")
    expect(chain.next_nonce("signer"), nonce, "the next nonce")
    expect(chain.rpc("eth_getTransactionReceipt", second.hash), None, "the receipt of what waits")
    expect(chain.broadcast(first), "", "what is said of the one that fills it")
    expect([chain.receipt(tx.hash)["status"] for tx in (first, second)], ["0x1", "0x1"], "both statuses")
    expect(chain.next_nonce("signer"), nonce + 2, "the next nonce")


@behaviour
def the_same_transaction_again_is_harmless(chain: Chain) -> None:
    nonce = chain.next_nonce("signer")
    second, first = transfer(chain, nonce + 1), transfer(chain, nonce)
    chain.broadcast(second)

    said = chain.broadcast(second)
    if said not in ("", "already known", "transaction already imported"):
        raise AssertionError(f"the same transaction again is answered {said!r}")
    chain.broadcast(first)
    chain.receipt(second.hash)
    expect("nonce too low" in chain.broadcast(second), True, "'nonce too low' once it is mined")


@behaviour
def a_replacement_pays_more_or_is_refused(chain: Chain) -> None:
    nonce = chain.next_nonce("signer")
    old, same, more = (transfer(chain, nonce + 1, percent=percent) for percent in (200, 201, 230))
    chain.broadcast(old)

    if "anvil" not in chain.rpc("web3_clientVersion").lower():  # which takes any increase
        said = chain.broadcast(same)
        expect("replacement transaction underpriced" in said, True, f"{said!r} naming an underpriced replacement")
    expect(chain.broadcast(more), "", "what is said of 15 % more")
    chain.broadcast(transfer(chain, nonce))
    expect(chain.receipt(more.hash)["status"], "0x1", "the status of the replacement")
    expect(chain.rpc("eth_getTransactionReceipt", old.hash), None, "the receipt of what was replaced")


@behaviour
def who_cannot_pay_is_refused(chain: Chain) -> None:
    tx = chain.sign_raw("stranger", to=chain.address("signer"), gas=21_000, value=10**30)
    said = chain.broadcast(tx).lower()
    expect("insufficient funds for gas * price + value" in said, True, f"{said!r} naming insufficient funds")


def main(argv: Sequence[str]) -> int:
    """Run every behaviour on the sandbox or on the chain that is named; 1 when one differs."""
    parser = argparse.ArgumentParser(prog="./run bench chain-behaviours", description=__doc__)
    parser.add_argument("--rpc", help="URL of a chain with the real contracts; without it the sandbox is started")
    parser.add_argument("--addresses", type=Path, help="JSON file with the contracts' addresses")
    parser.add_argument("--only", default="", help="run those whose name holds this")
    parser.add_argument("--wait-s", type=float, default=120.0, help="how long to wait for a transaction")
    asked = parser.parse_args(argv)
    wanted = [each for each in BEHAVIOURS if asked.only.replace(" ", "_") in each.__name__]
    if bool(asked.rpc) != bool(asked.addresses):
        parser.error("--rpc and --addresses belong together")
    if asked.rpc:
        addresses = json.loads(asked.addresses.read_text())
        return 0 if run(open_chain(asked.rpc, addresses, asked.wait_s), wanted) else 1
    from partners.sandbox.chain.deploy import Wiring
    from partners.sandbox.chain.server import start_chain

    sandbox = start_chain(block_s=0.05, wiring=Wiring(tee_url="https://tee.invalid"))
    try:
        addresses = asdict(sandbox.addresses) | {"keys": dict(sandbox.keys)}
        return 0 if run(open_chain(sandbox.rpc_url, addresses, asked.wait_s), wanted) else 1
    finally:
        sandbox.stop()
