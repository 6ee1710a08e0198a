"""The chain as the adapter sees it: typed reads of Vana's contracts, gas and fees, broadcasts, receipts.

Raises only `partners.errors` and `Refused`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils import to_checksum_address

from partners.errors import MisconfiguredError, PartnerError, TransientError
from partners.vana import abi
from partners.vana.rpc import Call, Rpc, RpcError

GWEI = 10**9
SUBMITTED, COMPLETED, CANCELED = 1, 2, 3
PROOFS_A_TIME, PROOFS_AT_MOST = 16, 256

Read = tuple[str, abi.Function, tuple[Any, ...]]  # contract, function, arguments


class Refused(Exception):  # noqa: N818 - an answer, not yet a decision
    """A contract refused a call; `name` is its Solidity error, or empty."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, kw_only=True)
class Action:
    """A call that changes a contract."""

    to: str
    data: str
    value_wei: int = 0


@dataclass(frozen=True, kw_only=True)
class Head:
    """The latest block."""

    number: int
    timestamp: int
    base_fee_wei: int


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


class VanaClient:
    """Vana's contracts behind one node. Thread-safe."""

    def __init__(self, rpc: Rpc, *, partner: str, registry: str, tee_pool: str, dlp: str) -> None:
        self.rpc, self._partner = rpc, partner
        self.registry, self.tee_pool, self.dlp = registry, tee_pool, dlp

    # reads of contracts

    def read(self, contract: str, function: abi.Function, *arguments: Any) -> Any:
        """Return a function's one value, or the tuple of its values."""
        return self.read_many([(contract, function, arguments)])[0]

    def read_many(self, reads: Sequence[Read]) -> list[Any]:
        """Read several functions in one request, in order."""
        calls = [
            ("eth_call", [{"to": to, "data": function.encode(*arguments)}, "latest"])
            for to, function, arguments in reads
        ]
        answers = self._ask(calls)
        return [self._decode(read, answer) for read, answer in zip(reads, answers, strict=True)]

    def find_file_id(self, url: str) -> int:
        """Return the id under which exactly this URL is registered; 0 for none."""
        return int(self.read(self.registry, abi.FILE_ID_BY_URL, url))

    def file(self, file_id: int, accounts: Sequence[str]) -> File:
        """Return a file and the keys that these accounts hold."""
        keys: list[Read] = [(self.registry, abi.FILE_PERMISSIONS, (file_id, account)) for account in accounts]
        found, *held = self.read_many([(self.registry, abi.FILES, (file_id,)), *keys])
        _, owner, url, _, block = found
        return File(owner=to_checksum_address(owner), url=url, block=block, keys=dict(zip(accounts, held, strict=True)))

    def jobs_of(self, file_id: int) -> list[Job]:
        """Return the file's proof requests, oldest first."""
        job_ids = self.read(self.tee_pool, abi.FILE_JOB_IDS, file_id)
        return self.jobs(job_ids) if job_ids else []

    def jobs(self, job_ids: Sequence[int]) -> list[Job]:
        """Return proof requests by their ids."""
        found = self.read_many([(self.tee_pool, abi.JOBS, (job_id,)) for job_id in job_ids])
        return [
            Job(job_id=job_id, status=status, added_at_s=added, owner=owner, tee=to_checksum_address(tee))
            for job_id, (_, _, status, added, owner, tee) in zip(job_ids, found, strict=True)
        ]

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

    # the chain

    def head(self) -> Head:
        """Return the latest block."""
        return _head(self._call("eth_getBlockByNumber", "latest", False))

    def chain_id(self) -> int:
        """Return the chain's id."""
        return int(self._call("eth_chainId"), 16)

    def has_code(self, address: str) -> bool:
        """Say whether a contract lives at this address."""
        return len(self._call("eth_getCode", address, "latest")) > 2

    def balance_wei(self, address: str) -> int:
        """Return an account's balance."""
        return int(self._call("eth_getBalance", address, "latest"), 16)

    def nonce(self, address: str, block: str) -> int:
        """Return how many transactions of this account are in the chain at `block` ("latest", "pending", a number)."""
        return int(self._call("eth_getTransactionCount", address, block), 16)

    def watch(self, hashes: Sequence[str]) -> tuple[int, int, list[dict[str, Any]]]:
        """Return the heights of the latest and of the finalized block (0: none), and the receipts that exist."""
        latest, finalized, *receipts = self.rpc.batch(
            [
                ("eth_blockNumber", []),
                ("eth_getBlockByNumber", ["finalized", False]),
                *(("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes),
            ]
        )
        for answer in (latest, *receipts):
            if isinstance(answer, RpcError):
                raise self.rpc.decide(answer)
        final = int(finalized["number"], 16) if isinstance(finalized, dict) else 0
        return int(latest, 16), final, [receipt for receipt in receipts if receipt]

    def look_back(self, address: str, block: int, hashes: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
        """Return an account's nonce at `block` and the receipts that exist, in one request, so from the same node."""
        nonce, *receipts = self._ask(
            [
                ("eth_getTransactionCount", [address, hex(block)]),
                *(("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes),
            ]
        )
        return int(nonce, 16), [receipt for receipt in receipts if receipt]

    def known(self, hashes: Sequence[str]) -> list[bool]:
        """Say for each hash whether the node holds the transaction, mined or waiting."""
        return [bool(tx) for tx in self._ask([("eth_getTransactionByHash", [tx_hash]) for tx_hash in hashes])]

    # writing

    def estimate(self, sender: str, action: Action) -> tuple[int, Head, int]:
        """Simulate a call; return (gas, latest block, the node's suggestion for the tip in wei). Raises Refused."""
        call = _as_call(sender, action)
        gas, block, tip = self.rpc.batch(
            [
                ("eth_estimateGas", [call]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
            ]
        )
        if isinstance(gas, RpcError):
            raise self._refusal(gas, call, "latest")
        if isinstance(block, RpcError):
            raise self.rpc.decide(block)
        return int(gas, 16), _head(block), GWEI if isinstance(tip, RpcError) else int(tip, 16)

    def replay(self, sender: str, action: Action, block: int) -> str:
        """Name the error of a mined call that failed, by calling it again on its block; "" when it cannot be told."""
        call = _as_call(sender, action)
        try:
            self.rpc.call("eth_call", call, hex(block))
        except RpcError as error:
            return abi.error_name(error.data)
        return ""

    def send(self, raw: bytes) -> str:
        """Broadcast; return "sent", "known", "nonce_used", "outbid" or "too_cheap". Raises the other refusals."""
        try:
            self.rpc.call("eth_sendRawTransaction", "0x" + raw.hex(), unknown_on_lost=True)
        except RpcError as error:
            return self._classify(error)
        return "sent"

    def _classify(self, error: RpcError) -> str:
        for outcome, pattern in SEND_ANSWERS:
            if re.search(pattern, error.text, re.IGNORECASE):
                return outcome
        if re.search("insufficient funds", error.text, re.IGNORECASE):
            raise MisconfiguredError(
                f"{self._partner}: send: the signer cannot pay for gas and value; fund its address", code="funds"
            ) from None
        raise self.rpc.decide(error) from None

    def _refusal(self, error: RpcError, call: dict[str, str], block: str) -> Exception:
        if "insufficient funds" in error.text.lower() or "exceeds allowance" in error.text.lower():
            return MisconfiguredError(
                f"{self._partner}: estimate: the signer cannot pay for gas and value; fund its address", code="funds"
            )
        if not error.is_revert:
            return self.rpc.decide(error)
        data = error.data or self._revert_data(call, block)
        return Refused(abi.error_name(data))

    def _revert_data(self, call: dict[str, str], block: str) -> str:
        """Ask again by eth_call, since some nodes leave the data out of an estimate's error."""
        try:
            self.rpc.call("eth_call", call, block)
        except RpcError as error:
            return error.data
        return ""

    def _call(self, method: str, *params: Any) -> Any:
        return self._ask([(method, list(params))])[0]

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return self.rpc.ask(calls)
        except RpcError as error:
            raise self._decide(error) from None

    def _decide(self, error: RpcError) -> PartnerError:
        if error.is_revert:
            name = abi.error_name(error.data)
            return TransientError(
                f"{self._partner}: {error.method}: the contract refused to be read: {name}", code=name
            )
        return self.rpc.decide(error)

    def _decode(self, read: Read, answer: str) -> Any:
        contract, function, _ = read
        try:
            values = function.decode(answer)
        except Exception:  # eth_abi has a dozen of them, and a node may answer anything
            raise TransientError(
                f"{self._partner}: {function.name}: {contract} does not answer as the contract should; "
                "check the address and the chain"
            ) from None
        return values[0] if len(values) == 1 else values


SEND_ANSWERS = (
    ("known", r"already known|already imported|known transaction|already exists"),
    ("nonce_used", r"nonce (is )?too low|old ?nonce"),
    ("outbid", r"replacement transaction"),
    ("too_cheap", r"underpriced|base fee|fee ?cap|fee too low|gas price too low"),
)


def _head(block: dict[str, Any]) -> Head:
    return Head(
        number=int(block["number"], 16),
        timestamp=int(block["timestamp"], 16),
        base_fee_wei=int(block.get("baseFeePerGas") or "0x0", 16),
    )


def _as_call(sender: str, action: Action) -> dict[str, str]:
    return {"from": sender, "to": action.to, "data": action.data, "value": hex(action.value_wei)}
