"""The rules on input and storage: each yields a finding for everything that is not as it must be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from verify.evidence import Evidence
from verify.inputs import Document
from verify.report import Finding
from verify.s3 import ObjectId


def check_buckets(evidence: Evidence) -> Iterator[Finding]:
    """Every bucket is there, and only its owner can list it."""
    for bucket in evidence.missing_buckets:
        yield Finding("bucket_missing", bucket, "the S3 knows no such bucket")
    for bucket in evidence.open_buckets:
        yield Finding("bucket_open", bucket, "anybody may list it")


def check_contents(evidence: Evidence) -> Iterator[Finding]:
    """The opened objects are the input: each document as often as it went in, and nothing else."""
    objects = {object_id for object_id, opened in evidence.opened.items() if opened.content}
    for document in _match(evidence, objects):
        detail = "no object opens to this document"
        copies = sum(other.content == document.content for other in evidence.documents)
        yield Finding("document_missing", document.name, detail + (f" (one of {copies} alike)" if copies > 1 else ""))
    for object_id in sorted(objects):
        yield Finding(
            "object_surplus", evidence.name(object_id), "it opens to no document of the input, or to one too many"
        )


def _match(evidence: Evidence, objects: set[ObjectId]) -> list[Document]:
    """Take from `objects` one for each document, exact ones first; return the documents that are left."""
    missing: list[Document] = []
    for is_exact in (True, False):
        stock: dict[str, list[ObjectId]] = defaultdict(list)
        for object_id in sorted(objects, reverse=True):
            content = evidence.opened[object_id].content
            if content:
                stock[content.by_bytes if is_exact else content.by_value].append(object_id)
        for document in evidence.documents:
            if document.is_exact is is_exact:
                wanted = document.content.by_bytes if is_exact else document.content.by_value
                if stock[wanted]:
                    objects.remove(stock[wanted].pop())
                else:
                    missing.append(document)
    return missing


def check_number(evidence: Evidence) -> Iterator[Finding]:
    """Where nothing can be opened, there are as many objects as documents."""
    if len(evidence.listed) != len(evidence.documents):
        detail = f"{len(evidence.listed)} objects for {len(evidence.documents)} documents"
        yield Finding("object_count", "all buckets", detail)


def check_reading(evidence: Evidence) -> Iterator[Finding]:
    """Anybody can read each object at its address, and it opens with its key."""
    for object_id, by_url in sorted(evidence.fetched.items()):
        if object_id not in evidence.listed:
            continue  # said by check_registrations
        for url, fetched in by_url.items():
            if fetched.problem:
                yield Finding("object_unreadable", evidence.name(object_id), f"{url}: {fetched.problem}")
    for object_id, opened in sorted(evidence.opened.items()):
        if not opened.content and object_id in evidence.listed:
            yield Finding("object_unopened", evidence.name(object_id), opened.problem)


def check_keys(evidence: Evidence) -> Iterator[Finding]:
    """Each object has a key of its own."""
    users: dict[str, list[ObjectId]] = defaultdict(list)
    for object_id, password in sorted(evidence.passwords.items()):
        users[password].append(object_id)
    for first, *others in users.values():
        if others:
            names = ", ".join(str(other) for other in others)
            yield Finding("key_shared", evidence.name(first), f"its key also opens {names}")


def check_log(evidence: Evidence) -> Iterator[Finding]:
    """However often an object was put, it was the same ciphertext, and it is still there."""
    if evidence.log is None:
        return
    sent: dict[ObjectId, Counter[str]] = defaultdict(Counter)
    stored: set[ObjectId] = set()
    for put in evidence.log.puts:
        sent[put.object_id][put.sha256] += 1
        if 200 <= put.status < 300:
            stored.add(put.object_id)
    for object_id, hashes in sorted(sent.items()):
        if len(hashes) > 1:
            detail = "put as " + ", ".join(f"{sha256} ({times}x)" for sha256, times in sorted(hashes.items()))
            yield Finding("second_ciphertext", evidence.name(object_id), detail)
    for object_id in sorted(stored - evidence.listed - evidence.log.deleted):
        yield Finding("object_vanished", evidence.name(object_id), "the S3 took it, nobody deleted it, it is gone")
    yield from _check_now(evidence, sent)


def _check_now(evidence: Evidence, sent: dict[ObjectId, Counter[str]]) -> Iterator[Finding]:
    for object_id in sorted(evidence.listed):
        found = {fetched.sha256 for fetched in evidence.fetched[object_id].values() if fetched.sha256}
        if object_id not in sent:
            yield Finding("object_unlogged", evidence.name(object_id), "the S3's log knows no upload of it")
        elif not found <= sent[object_id].keys():
            now = ", ".join(sorted(found))
            yield Finding("object_changed", evidence.name(object_id), f"it is {now} now, which was never put")
