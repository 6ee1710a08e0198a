"""The sandbox's TEE: opens the file, checks the permissions against the chain, signs a proof and puts it on chain.

Answers `POST /RunProof` at once and works behind it; asking again for a job changes nothing. `GET /proofs/<job>` is
where a proof says it can be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_abi.packed import encode_packed
from eth_utils import keccak
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from partners.sandbox import wire
from partners.sandbox.control import Entry, Hangup, Server, json_response
from partners.sandbox.onchain import Onchain
from partners.sandbox.work import THREADS, WorkError, WorkSandbox, read_fields
from partners.vana.encoding import EciesError, ecies_decrypt, ecies_encrypt, parse_public_key

ONE = 10**18
SUBMITTED, COMPLETED = 1, 2
PACKED = ("string", "uint256", "uint256", "string", "string", "string")
FIELDS = {
    "job_id": int,
    "file_id": int,
    "nonce": str,
    "proof_url": str,
    "encryption_seed": str,
    "env_vars": dict,
    "validate_permissions": list,
}


class Tee(WorkSandbox):
    """One TEE with its key; `addresses` as the sandbox chain gives them. A fault's subject is the job id.

    Beside its own kinds of faults it knows those of `wire`.
    """

    kinds = frozenset(
        {"runproof_500", "runproof_404", "runproof_timeout", "runproof_lost_response", "runproof_wrong_json"}
        | {"proof_never"}
        | wire.KINDS
    )

    def __init__(self, *, rpc_url: str, addresses: Mapping[str, Any], private_key: str, threads: int = THREADS) -> None:
        super().__init__(threads)
        self._dlp_id = int(addresses["dlp_id"])
        self.chain = Onchain(rpc_url=rpc_url, private_key=private_key, addresses=addresses, stopping=self.stopping)

    def answer(self, request: Request) -> Response:
        """Take in a job, or show a proof."""
        if request.method == "GET" and request.path.startswith("/proofs/"):
            state = self.job(request.path.removeprefix("/proofs/"))
            return json_response(state) if state else json_response({"error": "no such proof"}, 404)
        if (request.method, request.path) != ("POST", "/RunProof"):
            return json_response({"error": "POST /RunProof or GET /proofs/<job>"}, 404)
        try:
            asked = read_fields(request, FIELDS)
        except HTTPException as error:
            return json_response({"error": error.description}, 400)
        entry = self.log.add(
            path=request.path, job_id=asked["job_id"], file_id=asked["file_id"], fault="", status=None, held=False
        )
        response = self._take_in(request, asked, entry)
        self.log.complete(entry, status=response.status_code)
        return response

    def _take_in(self, request: Request, asked: dict[str, Any], entry: Entry) -> Response:
        job_id = str(asked["job_id"])
        fault = self.faults.take(self.kinds, job_id)
        kind = fault.kind if fault else ""
        self.log.complete(entry, fault=kind)
        if fault and kind in wire.KINDS:
            return wire.answer(self, request, fault, entry)
        if kind in ("runproof_500", "runproof_404"):
            return json_response({"error": "the sandbox was told to"}, int(kind[-3:]))
        if fault and kind == "runproof_timeout":
            self.log.complete(entry, held=True)
            self.hold(fault.seconds)
            self.log.complete(entry, held=False)
            raise Hangup
        if kind != "proof_never":
            self.start(job_id, lambda: self._prove(asked, f"{request.host_url}proofs/{job_id}"))
        if kind == "runproof_lost_response":
            raise Hangup
        if kind == "runproof_wrong_json":
            return Response('{"status": ["submit', content_type="application/json")
        return json_response({"job_id": asked["job_id"], "status": "submitted"})

    def _prove(self, asked: dict[str, Any], proof_url: str) -> str:
        """Do the job; return the transaction's hash, or "" where the proof is on chain already."""
        file_id, _, status, _, _, tee = self.chain.read("tee_pool", "jobs", asked["job_id"])
        if file_id != asked["file_id"] or tee.lower() != self.chain.address.lower():
            raise WorkError("WRONG_JOB", "the chain gave this job to another TEE or for another file")
        if status == COMPLETED:
            return ""
        if status != SUBMITTED:
            raise WorkError("WRONG_JOB", "the job is not open on chain")
        _, _, url, _, _ = self.chain.read("registry", "files", file_id)
        password = self._password(asked)
        payload = self.open_file(url, password)
        self._check_permissions(asked, password)
        return self.chain.send("tee_pool", "addProof", asked["job_id"], self._proof(asked, url, proof_url, payload))

    def _password(self, asked: dict[str, Any]) -> str:
        if asked.get("encryption_key"):
            return str(asked["encryption_key"])
        try:
            return ecies_decrypt(self.chain.private_key, str(asked.get("encrypted_encryption_key"))).decode()
        except EciesError as error:
            raise WorkError("INVALID_ENCRYPTION_KEY", "neither of the two key fields can be used") from error

    def _check_permissions(self, asked: dict[str, Any], password: str) -> None:
        """Encrypt the key as it was for the chain, and compare: the chain must hold this key for this account."""
        for permission in asked["validate_permissions"]:
            expected = ecies_encrypt(
                parse_public_key(permission["public_key"]),
                password.encode(),
                iv=_unhex(permission["iv"]),
                ephemeral_private_key=_unhex(permission["ephemeral_key"]),
            )
            if self.chain.read("registry", "filePermissions", asked["file_id"], permission["address"]) != expected:
                raise WorkError("PERMISSION_MISMATCH", "the chain holds another key for one of the accounts")

    def _proof(self, asked: dict[str, Any], url: str, proof_url: str, payload: bytes) -> tuple[Any, ...]:
        metadata = f'{{"dlp_id":{self._dlp_id},"valid":true,"size":{len(payload)}}}'
        data = (ONE, self._dlp_id, metadata, proof_url, asked["proof_url"])
        return self.chain.sign(keccak(encode_packed(PACKED, (url, *data)))), data


def start_tee(
    *,
    rpc_url: str,
    addresses: Mapping[str, Any],
    private_key: str,
    port: int = 0,
    join_pool: bool = False,
    threads: int = THREADS,
) -> Server:
    """Start a TEE on 127.0.0.1; port 0 takes a free one. With `join_pool` the chain's admin adds it to the pool."""
    tee = Tee(rpc_url=rpc_url, addresses=addresses, private_key=private_key, threads=threads)
    server = Server(tee, port)
    if join_pool:
        tee.chain.rpc("sandbox_transact", "tee_pool", "addTee", [tee.chain.address, server.url, tee.chain.public_key])
    return server


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
