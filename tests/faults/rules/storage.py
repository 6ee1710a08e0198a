"""I2, I3, I5, I7 and I10 at the S3: one object per record, with its bytes; nothing else, and nothing sent in vain."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.s3.models import s3_backends

from dataunion import roster
from dataunion.state import PartnerEntry
from partners.sandbox.control import Entry
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation
from tests.flows.sandboxes import Sandboxes
from verify.openpgp import OpenPgpError, decrypt

SKEW_S = 0.5  # the log's clock and the database's are one machine's, cut differently
Name = tuple[str, str]  # bucket, key


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What the S3 holds, read past its wire so that no armed fault falsifies it, and what it was asked."""

    objects: Mapping[Name, bytes]
    uploads: tuple[Name, ...]  # multipart uploads that nobody finished
    log: list[Entry]


def read_storage(sandboxes: Sandboxes) -> Stored:
    """Read both buckets."""
    objects: dict[Name, bytes] = {}
    uploads: list[Name] = []
    for bucket in sandboxes.buckets.values():
        held = find_backend(bucket).buckets[bucket]
        objects |= {(bucket, key): bytes(held.keys[key].value) for key in list(held.keys)}
        uploads += [(bucket, upload.key_name) for upload in list(held.multiparts.values())]
    return Stored(objects=objects, uploads=tuple(uploads), log=sandboxes.storage_log())


def find_backend(bucket: str) -> Any:
    """Return what holds a bucket in this process's memory."""
    partition, account = s3_backends.bucket_accounts[bucket]
    return s3_backends[account][partition]


def names_of(side: Side) -> set[Name]:
    """Return every name under which this record may stand there."""
    bucket, saved = side.saved.get("bucket"), side.saved
    known = {*saved.get("names", ()), saved.get("key")} - {None}
    return {(bucket, name) for name in known} if bucket else set()


def check_storage(world: World, stored: Stored, told: set[tuple[str, str]]) -> Iterator[Violation]:
    """Yield what breaks an invariant at the S3."""
    sides = list(world.of("akave"))
    yield from _each_object_explained(sides, stored)
    puts = _puts(stored)
    urls = {name: _public_url(world, name) for name in world.partners if world.kind(name) == "akave"}
    for side in sides:
        is_told = (str(side.record.pk), side.partner.name) in told
        found = [*_how_many(side, stored, is_told), *_sent(side, puts)]
        if side.is_synced and not (is_told and not side.saved.get("key")):
            found += (("I3", what) for what in _same_bytes(world, side, stored, urls[side.partner.name]))
        yield from (Violation(invariant, f"{side}: {what}") for invariant, what in found)
    for bucket, key in stored.uploads:
        yield Violation("I10", f"akave: a multipart upload of {bucket}/{key} was left")


def _each_object_explained(sides: list[Side], stored: Stored) -> Iterator[Violation]:
    owners: dict[Name, list[Side]] = defaultdict(list)
    past = {ref.value for side in sides for ref in side.refs if ref.kind == "object_key"}
    for side in sides:
        for name in names_of(side):
            owners[name].append(side)
    for name in sorted(stored.objects.keys() - owners.keys()):
        why = "no record holds it any more" if name[1] in past else "no record explains it"
        yield Violation("I2", f"akave: object {'/'.join(name)}: {why}")
    for name, holders in owners.items():
        if len(holders) > 1:
            yield Violation("I2", f"{holders[0]}: its object {'/'.join(name)} is {holders[1]}'s too")


def _how_many(side: Side, stored: Stored, is_told: bool) -> Iterator[tuple[str, str]]:
    held = names_of(side) & stored.objects.keys()
    if side.is_withdrawn:
        if held:
            yield "I2", f"withdrawn, and {len(held)} objects are there"
        if side.saved.get("record_key"):
            yield "I2", "withdrawn, and its key was kept"
    elif side.is_synced:
        if len(held) != 1 and not (is_told and not held):
            yield "I2", f"synced, and {len(held)} objects are there"
    elif len(held) > max(1, len(names_of(side))):
        yield "I2", f"{len(held)} objects are there"


def _same_bytes(world: World, side: Side, stored: Stored, public_url: str) -> Iterator[str]:
    saved, entry = side.saved, side.entry.receipt
    name = (str(saved.get("bucket")), str(saved.get("key")))
    body = stored.objects.get(name)
    told = {"key": name[1], "url": f"{public_url}/{name[0]}/{name[1]}", "sha256": saved.get("sha256")}
    for field, value in told.items():
        if entry.get(field) != value:
            yield f"the entry's {field} is not what was saved"
    if body is None:
        return  # said by I2
    if hashlib.sha256(body).hexdigest() != entry.get("sha256"):
        yield "the object has another SHA-256 than the entry"
    if len(body) != saved.get("size"):
        yield f"the object has {len(body)} bytes, {saved.get('size')} are told of"
    try:
        opened = decrypt(body, str(saved.get("record_key")))
    except OpenPgpError as error:
        yield f"the object does not open with the record's key: {error}"
        return
    if opened != world.payloads.get(side.record.pk):
        yield "the object opens to other bytes than the record's data"


def _public_url(world: World, partner: str) -> str:
    config = roster.read_config(world.partners[partner])
    return str(config.get("public_url") or config["endpoint_url"]).rstrip("/")


def _puts(stored: Stored) -> dict[Name, list[Entry]]:
    puts: dict[Name, list[Entry]] = defaultdict(list)
    for entry in stored.log:
        if entry["method"] == "PUT" and entry["key"]:
            puts[entry["bucket"], entry["key"]].append(entry)
    return puts


def _sent(side: Side, puts: Mapping[Name, list[Entry]]) -> Iterator[tuple[str, str]]:
    """Each claim sends at most once, always the same bytes, and nothing after the record was taken back."""
    for name in sorted(names_of(side)):
        entries = puts.get(name, [])
        if len(entries) > side.claims:
            yield "I5", f"{len(entries)} uploads of one name in {side.claims} claims"
        if len(Counter(entry["sha256"] for entry in entries)) > 1:
            yield "I2", "other bytes were uploaded at another attempt"
        at = withdrawn_at(side.entry)
        if at is not None and any(entry["at"] > at + SKEW_S for entry in entries) and side.is_withdrawn:
            yield "I7", "uploaded after it was withdrawn"


def withdrawn_at(entry: PartnerEntry) -> float | None:
    """Return when the record was taken back, in seconds since 1970."""
    return datetime.fromisoformat(entry.withdrawn_at).timestamp() if entry.withdrawn_at else None
