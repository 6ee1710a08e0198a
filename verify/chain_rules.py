"""The rules on the chain: registered once, by us, with every key; proved, paid and refined once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from verify import ecies
from verify.evidence import Evidence
from verify.registry import CANCELLED, COMPLETED, ChainFacts, File, Registered
from verify.report import Finding
from verify.s3 import ObjectId


def file_name(file: File) -> str:
    """Name a registration for a person."""
    return f"file {file.file_id}"


def check_registrations(evidence: Evidence, chain: ChainFacts) -> Iterator[Finding]:
    """Each object is registered once, each registration has its object."""
    by_place: dict[ObjectId, list[int]] = defaultdict(list)
    for file in chain.files:
        place = evidence.places[file.file_id]
        if place is None:
            yield Finding("registration_elsewhere", file_name(file), f"its URL {file.url} is none of this S3")
            continue
        by_place[place].append(file.file_id)
        if place not in evidence.listed:
            yield Finding("object_missing", file_name(file), f"there is no object {place}")
    for place, ids in sorted(by_place.items()):
        if len(ids) > 1:
            yield Finding("registered_twice", str(place), f"as files {', '.join(map(str, ids))}")
    for object_id in sorted(evidence.listed - by_place.keys()):
        yield Finding("object_unregistered", str(object_id), "no registration on chain names it")


def check_owners(chain: ChainFacts, owners: frozenset[str]) -> Iterator[Finding]:
    """Each file is ours."""
    for file in chain.files:
        if file.owner not in owners:
            yield Finding("owner_foreign", file_name(file), f"its owner is {file.owner}")


def check_permissions(chain: ChainFacts, accounts: frozenset[str]) -> Iterator[Finding]:
    """Each of our accounts, and each account that was ever granted one, has a key."""
    for file in chain.files:
        for account in sorted(accounts | file.granted):
            subject = f"{file_name(file)} account {account}"
            if not file.keys[account]:
                detail = "the key that was granted is blank now" if account in file.granted else "never granted a key"
                yield Finding("permission_missing", subject, detail)
                continue
            try:
                ecies.parse(file.keys[account])
            except ecies.EciesError as error:
                yield Finding("permission_malformed", subject, str(error))


def check_ephemeral_keys(chain: ChainFacts, dlp: str) -> Iterator[Finding]:
    """No two files' keys for the DLP were sealed with the same ephemeral key, which would open one by the other."""
    seen: dict[bytes, File] = {}
    for file in chain.files:
        try:
            ephemeral = ecies.parse(file.keys[dlp]).ephemeral
        except ecies.EciesError:
            continue  # said by check_permissions
        if ephemeral in seen:
            detail = f"its DLP key uses the same ephemeral key as {file_name(seen[ephemeral])}"
            yield Finding("ephemeral_key_shared", file_name(file), detail)
        seen.setdefault(ephemeral, file)


def check_announcements(chain: ChainFacts) -> Iterator[Finding]:
    """What the events say is what the storage says."""
    for file in chain.files:
        stored = Registered(file.owner, file.url)
        announced = chain.announced.get(file.file_id, frozenset())
        if not announced:
            yield Finding("event_missing", file_name(file), "no event announced this registration")
        for other in sorted(announced - {stored}, key=str):
            yield Finding("event_differs", file_name(file), f"an event says owner {other.owner}, URL {other.url}")
    for file_id in sorted(chain.announced.keys() - {file.file_id for file in chain.files}):
        yield Finding("event_surplus", f"file {file_id}", "an event announced it, but the registry does not hold it")


def check_jobs(chain: ChainFacts, is_proof_expected: bool) -> Iterator[Finding]:
    """Each file's proof was paid once: one job that was not cancelled (a cancelled one is paid back)."""
    for file in chain.files if chain.jobs is not None else ():
        jobs = (chain.jobs or {}).get(file.file_id, ())
        paid = [job for job in jobs if job.status != CANCELLED]
        if len(paid) > 1 or (is_proof_expected and not paid):
            listed = ", ".join(str(job.job_id) for job in paid) or "none"
            yield Finding("proof_paid", file_name(file), f"{len(paid)} paid proof jobs instead of 1: {listed}")
        for job in paid:
            if is_proof_expected and job.status != COMPLETED:
                yield Finding("proof_unfinished", file_name(file), f"job {job.job_id} has status {job.status}")


def check_proofs(chain: ChainFacts) -> Iterator[Finding]:
    """Each file has a proof, if that was asked for."""
    for file in chain.files if chain.proofs is not None else ():
        if not (chain.proofs or {}).get(file.file_id):
            yield Finding("proof_missing", file_name(file), "the registry holds no proof of it")


def check_rewards(chain: ChainFacts) -> Iterator[Finding]:
    """Each file was rewarded once, to its owner, and nothing else was."""
    if chain.rewards is None:
        return
    for file in chain.files:
        paid = chain.rewards.get(file.file_id, ())
        if len(paid) != 1:
            yield Finding("reward_count", file_name(file), f"rewarded {len(paid)} times instead of once")
        for contributor in paid:
            if contributor != file.owner:
                yield Finding("reward_foreign", file_name(file), f"paid to {contributor}, its owner is {file.owner}")
    for file_id in sorted(chain.rewards.keys() - {file.file_id for file in chain.files}):
        yield Finding("reward_surplus", f"file {file_id}", "rewarded, but the registry does not hold it")


def check_refinements(chain: ChainFacts) -> Iterator[Finding]:
    """Each file has its refinement, if that was asked for."""
    for file in chain.files if chain.refinements is not None else ():
        if not (chain.refinements or {}).get(file.file_id):
            yield Finding("refinement_missing", file_name(file), "the registry holds no refinement of it")
