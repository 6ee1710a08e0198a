"""The contracts' vocabulary: functions, events and errors by their Solidity signatures, encoded and decoded. Pure.

Source: vana-smart-contracts, contracts/data and contracts/dlpTemplates, checked 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak


@dataclass(frozen=True)
class Function:
    """One function of a contract: encodes calls, decodes answers."""

    name: str
    selector: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def encode(self, *arguments: Any) -> str:
        """Return the call data: 0x + hex."""
        return self.selector + bytes(encode(self.inputs, arguments)).hex()

    def decode(self, answer: str) -> tuple[Any, ...]:
        """Return the values of an answer. Raises an exception of eth_abi when it has another shape."""
        return tuple(decode(self.outputs, bytes.fromhex(answer.removeprefix("0x"))))


def split_types(listed: str) -> tuple[str, ...]:
    """Split the inside of a signature's brackets at its outermost commas."""
    found, depth, start = [], 0, 0
    for position, character in enumerate(listed):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            found.append(listed[start:position])
            start = position + 1
    return (*found, listed[start:]) if listed else ()


def function(signature: str, outputs: str = "") -> Function:
    """Describe a function by its signature and the types that it returns."""
    name, _, rest = signature.partition("(")
    selector = "0x" + keccak(text=signature)[:4].hex()
    return Function(name, selector, split_types(rest.removesuffix(")")), split_types(outputs))


def topic(signature: str) -> str:
    """Return topic 0 of an event."""
    return "0x" + bytes(keccak(text=signature)).hex()


def number_topic(value: int) -> str:
    """Return an indexed number as a log's topic."""
    return f"0x{value:064x}"


PROOF = "(bytes,(uint256,uint256,string,string,string))"

# DataRegistry
ADD_FILE = function("addFileWithPermissions(string,address,(address,string)[])", "uint256")
ADD_FILE_WITH_SCHEMA = function("addFileWithPermissionsAndSchema(string,address,(address,string)[],uint256)", "uint256")
ADD_FILE_PERMISSION = function("addFilePermission(uint256,address,string)")
FILE_ID_BY_URL = function("fileIdByUrl(string)", "uint256")
FILES = function("files(uint256)", "(uint256,address,string,uint256,uint256)")
FILE_PERMISSIONS = function("filePermissions(uint256,address)", "string")
FILE_PROOFS = function("fileProofs(uint256,uint256)", PROOF)
FILE_REFINEMENTS = function("fileRefinements(uint256,uint256)", "string")
VERSION = function("version()", "uint256")
PAUSED = function("paused()", "bool")

# TeePool
REQUEST_PROOF = function("requestContributionProof(uint256)")
CANCEL_JOB = function("cancelJob(uint256)")
JOBS = function("jobs(uint256)", "uint256,uint256,uint256,uint256,address,address")
FILE_JOB_IDS = function("fileJobIds(uint256)", "uint256[]")
TEES = function("tees(address)", "(address,string,uint256,uint256,uint256,uint256,string)")
TEE_FEE = function("teeFee()", "uint256")
CANCEL_DELAY = function("cancelDelay()", "uint256")

# DataLiquidityPool
PUBLIC_KEY = function("publicKey()", "string")
PROOF_INSTRUCTION = function("proofInstruction()", "string")
REQUEST_REWARD = function("requestReward(uint256,uint256)")

JOB_SUBMITTED = topic("JobSubmitted(uint256,uint256,address,uint256)")
FILE_ADDED = topic("FileAdded(uint256,address,string)")
FILE_ADDED_V2 = topic("FileAddedV2(uint256,address,string,uint256)")
REWARD_REQUESTED = topic("RewardRequested(address,uint256,uint256,uint256)")

ERRORS = {
    function(signature).selector: signature.partition("(")[0]
    for signature in (
        "NotFileOwner()",
        "FileUrlAlreadyUsed()",
        "FileNotFound()",
        "NoPermission()",
        "InvalidUrl()",
        "InvalidSchemaId(uint256)",
        "EnforcedPause()",
        "InsufficientFee()",
        "NoActiveTee()",
        "NotJobOwner()",
        "InvalidJobStatus()",
        "InvalidJobTee()",
        "JobCompleted()",
        "CancelDelayNotPassed()",
        "TeeNotActive()",
        "TransferFailed()",
        "InvalidProof()",
        "InvalidScore()",
        "InvalidAttestator()",
        "FileAlreadyAdded()",
        "AccessControlUnauthorizedAccount(address,bytes32)",
        "FailedInnerCall()",
        "ReentrancyGuardReentrantCall()",
    )
}
REASON, PANIC = "0x08c379a0", "0x4e487b71"


def error_name(data: str) -> str:
    """Name the error of a revert's data: a Solidity error, the text of a `require`, or its selector; "" for none."""
    selector = data[:10].lower()
    if selector in ERRORS:
        return ERRORS[selector]
    if selector == REASON:
        return _reason(data)
    if selector == PANIC:
        return "Panic"
    return selector if len(selector) == 10 else ""


def _reason(data: str) -> str:
    try:
        text = decode(("string",), bytes.fromhex(data[10:]))[0]
    except Exception:  # a node may cut the data; the selector still tells that a require failed
        return "Error"
    return "".join(character for character in text if character.isprintable())[:120] or "Error"


def pack_proof(url: str, proof: Sequence[Any]) -> bytes:
    """Return the digest that a TEE signs: keccak over a proof's data and the file's URL, tightly packed."""
    score, dlp_id, metadata, proof_url, instruction = proof
    numbers = score.to_bytes(32, "big") + dlp_id.to_bytes(32, "big")
    return bytes(keccak(url.encode() + numbers + (metadata + proof_url + instruction).encode()))
