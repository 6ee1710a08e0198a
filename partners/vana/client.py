"""Vana's contracts as the adapter sees them: typed reads; the chain beneath them is in chain.py.

Raises only `partners.errors` and `Refused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils import to_checksum_address

from partners.errors import TransientError
from partners.vana import abi
from partners.vana.chain import Chain, fitting, sensible
from partners.vana.rpc import Call, Rpc, RpcError

SUBMITTED, COMPLETED, CANCELED = 1, 2, 3
PROOFS_A_TIME, PROOFS_AT_MOST = 16, 256
NOT_THE_CONTRACT = "not_the_contract"

Read = tuple[str, abi.Function, tuple[Any, ...]]  # contract, function, arguments


@dataclass(frozen=True, kw_only=True)
class File:
    """A registered file; `owner` is zero for an unknown id."""

    owner: str
    url: str
    block: int
    keys: dict[str, str]  # by account


@dataclass(frozen=True, kw_only=True)
class Job:
    """A proof request at the TeePool."""

    job_id: int
    status: int
    added_at_s: int
    owner: str
    tee: str


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A proof of a file; `data` is (score, dlp id, metadata, proof URL, instruction)."""

    index: int
    signature: bytes
    data: tuple[int, int, str, str, str]


class VanaClient(Chain):
    """Vana's contracts behind one node. Thread-safe."""

    def __init__(self, rpc: Rpc, *, partner: str, payer: str, registry: str, tee_pool: str, dlp: str) -> None:
        super().__init__(rpc, partner=partner, payer=payer)
        self.registry, self.tee_pool, self.dlp = registry, tee_pool, dlp

    def read(self, contract: str, function: abi.Function, *arguments: Any) -> Any:
        """Return a function's one value, or the tuple of its values."""
        return self.read_many([(contract, function, arguments)])[0]

    def read_many(self, reads: Sequence[Read]) -> list[Any]:
        """Read several functions in one request, in order."""
        answers = self.rpc.batch([_call(read) for read in reads])
        return [self._decode(read, answer) for read, answer in zip(reads, answers, strict=True)]

    @sensible
    def find_file_id(self, url: str) -> int:
        """Return the id under which exactly this URL is registered; 0 for none."""
        return fitting(self.read(self.registry, abi.FILE_ID_BY_URL, url))

    @sensible
    def file(self, file_id: int, accounts: Sequence[str]) -> File:
        """Return a file and the keys that these accounts hold."""
        keys: list[Read] = [(self.registry, abi.FILE_PERMISSIONS, (file_id, account)) for account in accounts]
        found, *held = self.read_many([(self.registry, abi.FILES, (file_id,)), *keys])
        _, owner, url, _, block = found
        held_by = dict(zip(accounts, held, strict=True))
        return File(owner=to_checksum_address(owner), url=url, block=fitting(block), keys=held_by)

    def jobs_of(self, file_id: int) -> tuple[list[Job], int]:
        """Return the file's proof requests, oldest first, and what another one costs in wei."""
        asked: list[Read] = [(self.tee_pool, abi.FILE_JOB_IDS, (file_id,)), (self.tee_pool, abi.TEE_FEE, ())]
        job_ids, fee_wei = self.read_many(asked)
        return (self.jobs(job_ids)[0] if job_ids else []), fee_wei

    @sensible
    def jobs(self, job_ids: Sequence[int]) -> tuple[list[Job], int]:
        """Return proof requests by their ids, and the chain's time in seconds since 1970."""
        reads: list[Read] = [(self.tee_pool, abi.JOBS, (job_id,)) for job_id in job_ids]
        block, *answers = self.rpc.batch([("eth_getBlockByNumber", ["latest", False]), *map(_call, reads)])
        if isinstance(block, RpcError):
            raise self.rpc.decide(block)
        found = [self._decode(read, answer) for read, answer in zip(reads, answers, strict=True)]
        jobs = [
            Job(job_id=job_id, status=status, added_at_s=added, owner=owner, tee=to_checksum_address(tee))
            for job_id, (_, _, status, added, owner, tee) in zip(job_ids, found, strict=True)
        ]
        return jobs, fitting(int(block["timestamp"], 16))

    def proofs(self, file_id: int) -> list[Proof]:
        """Return the file's proofs; anyone may have added some."""
        found: list[Proof] = []
        while len(found) < PROOFS_AT_MOST:
            indexes = range(len(found) + 1, len(found) + 1 + PROOFS_A_TIME)
            page = self.read_many([(self.registry, abi.FILE_PROOFS, (file_id, index)) for index in indexes])
            kept = [
                Proof(index=index, signature=signature, data=data)
                for index, (signature, data) in zip(indexes, page, strict=True)
                if signature or any(data)
            ]
            found += kept
            if len(kept) < PROOFS_A_TIME:
                break
        return found

    @sensible
    def find_registration(self, file_id: int, block: int) -> str:
        """Return the hash of the transaction that added a file in this block, or "" when the node keeps no logs."""
        query = {
            "address": self.registry,
            "fromBlock": hex(block),
            "toBlock": hex(block),
            "topics": [[abi.FILE_ADDED_V2, abi.FILE_ADDED], abi.number_topic(file_id)],
        }
        logs = self._call("eth_getLogs", query)
        return str(logs[0]["transactionHash"]) if logs else ""

    def _decode(self, read: Read, answer: Any) -> Any:
        contract, function, _ = read
        where = f"{self._partner}: {function.name}: {contract}"
        if isinstance(answer, RpcError):
            if not answer.is_revert:
                raise self.rpc.decide(answer)
            name = abi.error_name(answer.data) or NOT_THE_CONTRACT
            raise TransientError(f"{where} refuses to be read ({name}); check the address and the chain", code=name)
        if not isinstance(answer, str):
            raise TransientError(f"{where}: the node answered something that makes no sense; check rpc_url")
        try:
            values = function.decode(answer)
        except Exception:  # eth_abi has a dozen of them, and a node may answer anything
            message = f"{where} does not answer as the contract should; check the address and the chain"
            raise TransientError(message, code=NOT_THE_CONTRACT) from None
        return values[0] if len(values) == 1 else values


def _call(read: Read) -> Call:
    to, function, arguments = read
    return "eth_call", [{"to": to, "data": function.encode(*arguments)}, "latest"]
