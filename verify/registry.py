"""What the chain says: every registered file with its owner and keys, and who was paid for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from verify.chain import Contract

# ABI `string` is read as `bytes` (the same encoding): anybody can write there, also what is no UTF-8.
FILE = "(uint256,address,bytes,uint256,uint256)"
PROOF = "(bytes,(uint256,uint256,bytes,bytes,bytes))"
JOB = "(uint256,uint256,uint8,uint256,address,address)"
CANCELLED, COMPLETED = 3, 2


@dataclass(frozen=True)
class File:
    """A registration as the registry's storage holds it now; addresses are in lower case."""

    file_id: int
    owner: str
    url: str
    keys: Mapping[str, str]  # by account; "" is no key
    granted: frozenset[str]  # accounts of its PermissionGranted events


@dataclass(frozen=True)
class Registered:
    """An announcement of a registration (FileAdded or FileAddedV2)."""

    owner: str
    url: str


@dataclass(frozen=True)
class Job:
    """A proof job that was paid for."""

    job_id: int
    status: int
    owner: str


@dataclass(frozen=True)
class ChainFacts:
    """All that was read; a part that was not asked for is None."""

    block: int
    files: tuple[File, ...] = ()
    announced: Mapping[int, frozenset[Registered]] = field(default_factory=dict)
    jobs: Mapping[int, tuple[Job, ...]] | None = None
    proofs: Mapping[int, int] | None = None  # how many that are really stored
    rewards: Mapping[int, tuple[str, ...]] | None = None  # who was paid, once for each event
    refinements: Mapping[int, str] | None = None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def read_files(registry: Contract, accounts: Iterable[str]) -> tuple[File, ...]:
    """Return every file of the registry with the keys of `accounts` and of each account it was ever granted to."""
    ids = range(1, registry.read("filesCount()", "uint256") + 1)
    rows = registry.read_many("files(uint256)", FILE, [(file_id,) for file_id in ids])
    granted: dict[int, set[str]] = defaultdict(set)
    for event in registry.events("PermissionGranted(uint256,address)"):
        granted[event.number(0)].add(event.address(1))
    asked = [(file_id, account) for file_id in ids for account in sorted({*accounts, *granted[file_id]})]
    stored = registry.read_many("filePermissions(uint256,address)", "bytes", asked)
    keys: dict[int, dict[str, str]] = defaultdict(dict)
    for (file_id, account), key in zip(asked, stored, strict=True):
        keys[file_id][account] = _text(key)
    return tuple(
        File(file_id, row[1].lower(), _text(row[2]), keys[file_id], frozenset(granted[file_id]))
        for file_id, row in zip(ids, rows, strict=True)
    )


def read_announcements(registry: Contract) -> dict[int, frozenset[Registered]]:
    """Return what was announced of each file id; repeated announcements of the same are one."""
    announced: dict[int, set[Registered]] = defaultdict(set)
    for signature, types in (
        ("FileAddedV2(uint256,address,string,uint256)", ("bytes", "uint256")),
        ("FileAdded(uint256,address,string)", ("bytes",)),
    ):
        for event in registry.events(signature, types):
            announced[event.number(0)].add(Registered(event.address(1), _text(event.values[0])))
    return {file_id: frozenset(found) for file_id, found in announced.items()}


def read_jobs(tee_pool: Contract, ids: Iterable[int]) -> dict[int, tuple[Job, ...]]:
    """Return the proof jobs of each file."""
    ids = list(ids)
    lists = tee_pool.read_many("fileJobIds(uint256)", "uint256[]", [(file_id,) for file_id in ids])
    by_file = dict(zip(ids, lists, strict=True))
    job_ids = sorted({job_id for found in lists for job_id in found})
    rows = tee_pool.read_many("jobs(uint256)", JOB, [(job_id,) for job_id in job_ids])
    jobs = {job_id: Job(job_id, row[2], row[4].lower()) for job_id, row in zip(job_ids, rows, strict=True)}
    return {file_id: tuple(jobs[job_id] for job_id in found) for file_id, found in by_file.items()}


def read_proofs(registry: Contract) -> dict[int, int]:
    """Return how many proofs the registry stores for each file that had one added."""
    events = registry.events(
        "ProofAdded(uint256,address,uint256,uint256,uint256,string)", ("uint256", "uint256", "bytes")
    )
    asked = sorted({(event.number(0), event.values[0]) for event in events})
    stored: dict[int, int] = defaultdict(int)
    for (file_id, _), proof in zip(asked, _proofs(registry, asked), strict=True):
        stored[file_id] += bool(proof[0])
    return stored


def _proofs(registry: Contract, asked: list[tuple[int, int]]) -> list[Any]:
    return registry.read_many("fileProofs(uint256,uint256)", PROOF, asked)


def read_rewards(dlp: Contract) -> dict[int, tuple[str, ...]]:
    """Return who was rewarded for each file, once for each event."""
    rewards: dict[int, tuple[str, ...]] = {}
    for event in dlp.events("RewardRequested(address,uint256,uint256,uint256)", ("uint256",)):
        rewards[event.number(1)] = (*rewards.get(event.number(1), ()), event.address(0))
    return rewards


def read_refinements(registry: Contract, ids: Iterable[int], refiner_id: int) -> dict[int, str]:
    """Return the refinement's URL of each file, "" where there is none."""
    ids = list(ids)
    urls = registry.read_many("fileRefinements(uint256,uint256)", "bytes", [(file_id, refiner_id) for file_id in ids])
    return {file_id: _text(url) for file_id, url in zip(ids, urls, strict=True)}
