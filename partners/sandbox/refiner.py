"""The sandbox's refinement service: opens the file and gives the query engine a key for the result on chain.

Nothing is refined and nothing is stored under the URL it registers; everything up to there is done for real.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from partners.sandbox import wire
from partners.sandbox.control import Entry, Hangup, Server, json_response
from partners.sandbox.onchain import Onchain, OnchainError
from partners.sandbox.work import WorkError, WorkSandbox, read_fields
from partners.vana.encoding import ecies_seal, parse_public_key, refinement_key

FIELDS = {"file_id": int, "refiner_id": int, "encryption_key": str}
PASSWORD = re.compile(r"0x(?:[0-9a-fA-F]{2}){32,}")
REFINED = "https://refined.invalid/{refiner_id}/{file_id}"


class Refiner(WorkSandbox):
    """One refinement service with its key; `addresses` as the sandbox chain gives them.

    A fault's subject is the file id. Beside its own kinds it knows those of `wire`.
    """

    kinds = frozenset({"refine_500", "refine_failed", "refine_lost_response"}) | wire.KINDS

    def __init__(
        self, *, rpc_url: str, addresses: Mapping[str, Any], private_key: str, query_engine: str | None = None
    ) -> None:
        super().__init__()
        self.chain = Onchain(rpc_url=rpc_url, private_key=private_key, addresses=addresses, stopping=self.stopping)
        self._query_engine = query_engine or self.chain.address  # the account that gets the key of the result

    def answer(self, request: Request) -> Response:
        """Take in a file to refine, or tell how far a job is."""
        if request.method == "GET" and request.path.startswith("/refine/"):
            job_id = request.path.removeprefix("/refine/")
            state = self.job(job_id)
            if state is None:
                return _error("JOB_NOT_FOUND", "there is no such job", 404)
            return json_response({"job_id": job_id, **state})
        if (request.method, request.path) != ("POST", "/refine"):
            return _error("NOT_FOUND", "POST /refine or GET /refine/<job>", 404)
        try:
            asked = read_fields(request, FIELDS)
        except HTTPException as error:
            return _error("INVALID_REQUEST", str(error.description), 422)
        if not PASSWORD.fullmatch(asked["encryption_key"]):
            return _error("INVALID_ENCRYPTION_KEY", "it should be 0x and at least 64 hex characters", 400)
        entry = self.log.add(path=request.path, file_id=asked["file_id"], fault="", status=None)
        response = self._take_in(request, asked, entry)
        self.log.complete(entry, status=response.status_code)
        return response

    def _take_in(self, request: Request, asked: dict[str, Any], entry: Entry) -> Response:
        fault = self.faults.take(self.kinds, str(asked["file_id"]))
        kind = fault.kind if fault else ""
        self.log.complete(entry, fault=kind)
        if fault and kind in wire.KINDS:
            return wire.answer(self, request, fault, entry)
        if kind == "refine_500":
            return _error("INTERNAL_ERROR", "the sandbox was told to", 500)
        if request.headers.get("Vana-Accept-Version", "v1") != "v2":
            return self._refine_at_once(asked)
        job_id = str(uuid.uuid4())
        self.start(job_id, _fail if kind == "refine_failed" else lambda: self._refine(asked))
        if kind == "refine_lost_response":
            raise Hangup
        return json_response({"job_id": job_id, "status": "submitted", "message": "the file will be refined"})

    def _refine_at_once(self, asked: dict[str, Any]) -> Response:
        """Answer as version 1 did: when all is done."""
        try:
            return json_response({"add_refinement_tx_hash": self._refine(asked)})
        except WorkError as error:
            return _error(error.code, str(error), 400)
        except OnchainError as error:
            return _error("INTERNAL_ERROR", str(error), 500)

    def _refine(self, asked: dict[str, Any]) -> str:
        """Do the job; return the transaction's hash."""
        file_id, refiner_id, password = asked["file_id"], asked["refiner_id"], asked["encryption_key"]
        _, _, url, _, added_at_block = self.chain.read("registry", "files", file_id)
        if not added_at_block:
            raise WorkError("FILE_NOT_FOUND", f"the chain has no file {file_id}")
        if not self.chain.read("refiner_registry", "refiners", refiner_id)[0]:
            raise WorkError("REFINER_NOT_FOUND", f"the chain has no refiner {refiner_id}")
        dlp_key = self.chain.read("dlp", "publicKey")
        if not dlp_key:
            raise WorkError("REFINER_DLP_PUBLIC_KEY_NOT_FOUND", "the DLP has no public key")
        self.open_file(url, password)
        key = ecies_seal(parse_public_key(dlp_key), refinement_key(password).encode()).blob
        refined = REFINED.format(refiner_id=refiner_id, file_id=file_id)
        return self.chain.send(
            "registry", "addRefinementWithPermission", file_id, refiner_id, refined, self._query_engine, key
        )


def start_refiner(*, rpc_url: str, addresses: Mapping[str, Any], private_key: str, port: int = 0) -> Server:
    """Start a refinement service on 127.0.0.1; port 0 takes a free one."""
    return Server(Refiner(rpc_url=rpc_url, addresses=addresses, private_key=private_key), port)


def _fail() -> str:
    raise WorkError("REFINER_CONTAINER_FAILED", "the sandbox was told to")


def _error(code: str, message: str, status: int) -> Response:
    return json_response({"error_code": code, "error": message}, status)
