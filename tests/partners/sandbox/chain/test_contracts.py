"""The doubles against the selectors, topics and errors of the real contracts."""

import pytest
from eth_utils import keccak

from partners.sandbox.chain.abi import find, signature, type_of
from partners.sandbox.chain.compile import load

ORIGINALS = {
    "DataRegistry": "DataRegistryImplementation",
    "TeePool": "TeePoolImplementation",
    "DataRefinerRegistry": "DataRefinerRegistryImplementation",
}
# Proxies, meta-transactions and role administration make no sense for a double.
LEFT_OUT_FUNCTIONS = {
    "UPGRADE_INTERFACE_VERSION",
    "initialize",
    "isTrustedForwarder",
    "proxiableUUID",
    "renounceRole",
    "setRoleAdmin",
    "supportsInterface",
    "updateTrustedForwarder",
    "upgradeToAndCall",
    "teeJobIdsPaginated",
    "updateDlpRefinersOwner",
    "updateDlpRegistry",
    "updateRefinerOwner",
}
LEFT_OUT_EVENTS = {"Initialized(uint64)", "RoleAdminChanged(bytes32,bytes32,bytes32)", "Upgraded(address)"}
LEFT_OUT_ERRORS = {
    "AccessControlBadConfirmation()",
    "AddressEmptyCode(address)",
    "ERC1967InvalidImplementation(address)",
    "ERC1967NonPayable()",
    "FailedInnerCall()",
    "InvalidInitialization()",
    "JobCompleted()",  # declared by the original, never raised
    "NotInitializing()",
    "ReentrancyGuardReentrantCall()",
    "UUPSUnauthorizedCallContext()",
    "UUPSUnsupportedProxiableUUID(bytes32)",
}
# Only the double has these: there is no DLP registry and no token beside it.
OWN_FUNCTIONS = {"DataRefinerRegistry": {"setDlpOwner(uint256,address)"}}
PROOF = "(bytes,(uint256,uint256,string,string,string))"
RESULTS = {
    "DataRegistry": {
        "files": "(uint256,address,string,uint256,uint256)",
        "fileIdByUrl": "uint256",
        "filePermissions": "string",
        "fileProofs": PROOF,
        "fileRefinements": "string",
        "addFileWithPermissions": "uint256",
        "version": "uint256",
        "paused": "bool",
        "trustedForwarder": "address",
        "dataRefinerRegistry": "address",
    },
    "TeePool": {
        "jobs": "(uint256,uint256,uint8,uint256,address,address)",
        "fileJobIds": "uint256[]",
        "tees": "(address,string,uint8,uint256,uint256,uint256,string)",
        "activeTeeList": "address[]",
        "isTee": "bool",
        "teeFee": "uint256",
        "cancelDelay": "uint256",
    },
    "DataLiquidityPool": {
        "publicKey": "string",
        "proofInstruction": "string",
        "files": "(uint256,uint256,uint256,uint256)",
        "fileRewardFactor": "uint256",
        "token": "address",
        "dlpId": "uint256",
    },
    "DataRefinerRegistry": {
        "refiners": "(uint256,address,string,string,string,uint256)",
        "schemas": "(string,string,string)",
        "isRefinementService": "bool",
        "dlpRefiners": "uint256[]",
    },
}
DLP_FUNCTIONS = """
    name() version() dataRegistry() teePool() token() publicKey() proofInstruction() dlpId() fileRewardFactor()
    totalContributorsRewardAmount() filesListCount() filesListAt(uint256) files(uint256) contributorsCount()
    contributors(uint256) contributorInfo(address) pause() unpause() paused() updateFileRewardFactor(uint256)
    updateTeePool(address) updateProofInstruction(string) updateDlpId(uint256) updatePublicKey(string)
    requestReward(uint256,uint256) addRewardsForContributors(uint256) trustedForwarder()
    DEFAULT_ADMIN_ROLE() MAINTAINER_ROLE() hasRole(bytes32,address) getRoleAdmin(bytes32)
    grantRole(bytes32,address) revokeRole(bytes32,address) balanceOf(address)
"""


def entries(name, kind):
    return {signature(entry): entry for entry in load()[name]["abi"] if entry["type"] == kind}


def names_left_out(signatures):
    return {known for known in signatures if known.split("(")[0] in LEFT_OUT_FUNCTIONS}


@pytest.mark.parametrize("name", ORIGINALS)
def test_functions_are_the_originals_but_for_what_is_left_out(name, selectors):
    originals = selectors[ORIGINALS[name]]["functions"]

    expected = set(originals) - names_left_out(originals) | OWN_FUNCTIONS.get(name, set())

    assert set(entries(name, "function")) == expected


@pytest.mark.parametrize("name", ORIGINALS)
def test_selectors_are_the_originals_and_stand_in_the_bytecode(name, selectors):
    originals = selectors[ORIGINALS[name]]["functions"]

    for known in set(entries(name, "function")) & set(originals):
        selector = keccak(text=known)[:4]
        assert "0x" + selector.hex() == originals[known]
        assert selector.lstrip(b"\0").hex() in load()[name]["bytecode"]


@pytest.mark.parametrize("name", ORIGINALS)
def test_events_have_the_original_topics_names_and_indexes(name, selectors):
    originals = selectors[ORIGINALS[name]]["events"]
    ours = entries(name, "event")

    assert set(ours) == set(originals) - LEFT_OUT_EVENTS
    for known, event in ours.items():
        assert "0x" + keccak(text=known).hex() == originals[known]["topic0"]
        assert originals[known]["topic0"][2:] in load()[name]["bytecode"]
        fields = [[field["name"], field["type"], field["indexed"]] for field in event["inputs"]]
        assert fields == originals[known]["inputs"]


@pytest.mark.parametrize("name", ORIGINALS)
def test_errors_raised_have_the_original_selectors(name, selectors):
    originals = selectors[ORIGINALS[name]]["errors"]

    for known in set(originals) - LEFT_OUT_ERRORS:
        assert "0x" + keccak(text=known)[:4].hex() == originals[known]
        assert originals[known][2:] in load()[name]["bytecode"], known


def test_the_dlp_has_the_functions_event_and_errors_that_are_used(selectors):
    bytecode = load()["DataLiquidityPool"]["bytecode"]

    assert set(entries("DataLiquidityPool", "function")) == set(DLP_FUNCTIONS.split())
    reward = "RewardRequested(address,uint256,uint256,uint256)"
    assert "0x" + keccak(text=reward).hex() == selectors["other_topics"][reward]
    event = entries("DataLiquidityPool", "event")[reward]
    assert [field["indexed"] for field in event["inputs"]] == [True, True, True, False]
    for error in ("InvalidProof()", "FileAlreadyAdded()", "InvalidScore()", "InvalidAttestator()"):
        assert "0x" + keccak(text=error)[:4].hex() == selectors["other_errors"][error]
        assert keccak(text=error)[:4].hex() in bytecode


@pytest.mark.parametrize(("name", "function"), [(name, f) for name, table in RESULTS.items() for f in table])
def test_results_are_the_original_tuples(name, function):
    outputs = find(load()[name]["abi"], function)["outputs"]

    assert [type_of(output) for output in outputs] == [RESULTS[name][function]]


def test_only_proof_requests_take_money():
    payable = {
        (name, known)
        for name in load()
        for known, entry in entries(name, "function").items()
        if entry["stateMutability"] == "payable"
    }

    assert payable == {("TeePool", "requestContributionProof(uint256)"), ("TeePool", "submitJob(uint256)")}


def test_tuples_come_with_the_offset_that_solidity_writes(client):
    data = bytes.fromhex(client.call("signer", "registry", "files", 7)[2:])

    assert int.from_bytes(data[:32], "big") == 32
    assert int.from_bytes(data[32:64], "big") == 7
