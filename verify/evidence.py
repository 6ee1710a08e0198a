"""Everything that the rules judge, gathered from the S3 and the chain; no judgement here but "cannot be opened"."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from verify import ecies, openpgp
from verify.inputs import Content, Document, digest
from verify.registry import ChainFacts, File
from verify.report import Progress
from verify.s3 import S3, Log, ObjectId

THREADS = 8


@dataclass(frozen=True)
class Fetched:
    """What a GET of a URL by anybody gave: `problem` is empty if it gave an object."""

    sha256: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Opened:
    """An object after opening: `content` is None if that failed, `problem` says why."""

    content: Content | None
    problem: str = ""


@dataclass
class Evidence:
    """What was found where. `chain` is None if no chain is verified, `log` if the S3 keeps none."""

    documents: Sequence[Document]
    missing_buckets: list[str] = field(default_factory=list)
    open_buckets: list[str] = field(default_factory=list)  # anybody may list them
    listed: set[ObjectId] = field(default_factory=set)
    chain: ChainFacts | None = None
    places: dict[int, ObjectId | None] = field(default_factory=dict)  # by file id; None: not on this S3
    fetched: dict[ObjectId, dict[str, Fetched]] = field(default_factory=dict)  # by object and URL
    opened: dict[ObjectId, Opened] = field(default_factory=dict)
    passwords: dict[ObjectId, str] = field(default_factory=dict)
    log: Log | None = None

    def name(self, object_id: ObjectId) -> str:
        """Name an object for a person: its place and, if registered, its file ids."""
        ids = [str(file_id) for file_id, place in self.places.items() if place == object_id]
        return f"{object_id} (file {', '.join(ids)})" if ids else str(object_id)


def list_buckets(evidence: Evidence, s3: S3, buckets: Iterable[str]) -> None:
    """List every bucket, and see whether a stranger could."""
    for bucket in buckets:
        found = s3.list_objects(bucket)
        if found is None:
            evidence.missing_buckets.append(bucket)
        elif s3.is_listable_by_anybody(bucket):
            evidence.open_buckets.append(bucket)
        evidence.listed.update(found or ())


def open_with_chain(evidence: Evidence, s3: S3, chain: ChainFacts, dlp: str, key: EllipticCurvePrivateKey) -> None:
    """Take each object's password from the chain, with the DLP's private key."""
    evidence.chain = chain
    for file in chain.files:
        place = s3.locate(file.url)
        evidence.places[file.file_id] = place
        if place:
            _take_password(evidence, place, file, dlp, key)


def _take_password(evidence: Evidence, place: ObjectId, file: File, dlp: str, key: EllipticCurvePrivateKey) -> None:
    try:
        password = ecies.decrypt(file.keys[dlp], key).decode()
    except ecies.EciesError as error:
        evidence.opened[place] = Opened(None, str(error))
    except UnicodeDecodeError:
        evidence.opened[place] = Opened(None, "the key on chain is no text")
    else:
        evidence.passwords.setdefault(place, password)


def open_with_keys(evidence: Evidence, keys: Mapping[str, str]) -> None:
    """Take the passwords from a file, by object key or bucket/key."""
    for object_id in evidence.listed:
        password = keys.get(str(object_id)) or keys.get(object_id.key)
        if password:
            evidence.passwords[object_id] = password
        else:
            evidence.opened[object_id] = Opened(None, "the keys file holds no key for it")


def fetch_all(evidence: Evidence, s3: S3, progress: Progress) -> None:
    """GET each object as anybody, at its registered URL (if it has one), and open it."""
    urls: dict[str, ObjectId] = {}
    for file in evidence.chain.files if evidence.chain else ():
        place = evidence.places[file.file_id]
        if place:
            urls[file.url] = place
    registered = set(urls.values())
    urls |= {s3.url_of(object_id): object_id for object_id in sorted(evidence.listed - registered)}
    for done, (url, fetched, opened) in enumerate(_in_threads(lambda url: _fetch(evidence, s3, url, urls[url]), urls)):
        object_id = urls[url]
        evidence.fetched.setdefault(object_id, {})[url] = fetched
        if opened:
            evidence.opened[object_id] = opened
        progress.say(f"{done} of {len(urls)} objects read")


def _in_threads(
    work: Callable[[str], tuple[str, Fetched, Opened | None]], urls: Iterable[str]
) -> Iterable[tuple[str, Fetched, Opened | None]]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(work, urls)


def _fetch(evidence: Evidence, s3: S3, url: str, object_id: ObjectId) -> tuple[str, Fetched, Opened | None]:
    try:
        answer = s3.read(url)
    except ValueError as error:
        return url, Fetched(problem=str(error)), None
    if answer.status != 200:
        return url, Fetched(problem=f"GET was answered {answer.status}"), None
    fetched = Fetched(hashlib.sha256(answer.body).hexdigest())
    password = evidence.passwords.get(object_id)
    return url, fetched, _open(answer.body, password) if password is not None else None


def _open(message: bytes, password: str) -> Opened:
    try:
        return Opened(digest(openpgp.decrypt(message, password)))
    except openpgp.OpenPgpError as error:
        return Opened(None, str(error))
