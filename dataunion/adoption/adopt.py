"""The order of an adoption: see that the source stands still, read it batch by batch, register what is new.

Everything goes through ingest, and nothing is remembered between runs: the reference tells what is here already. So
it may be stopped or killed anywhere, and run again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from dataunion import roster
from dataunion.adoption.documents import Reading, Reference, read_document, read_reference
from dataunion.adoption.report import Report
from dataunion.adoption.source import PAYLOADS, RECORDS, Found, Source
from dataunion.conf import conf
from dataunion.ingest import (
    IngestError,
    NewRecord,
    TrackingOffError,
    find_fault,
    find_registered,
    note_references,
    register_records,
)
from dataunion.loaders.base import LoaderError
from dataunion.loaders.documents import write_document
from dataunion.payloads import is_elsewhere
from dataunion.state import BULK, DataType

BATCH = 200
WATCH_S = 3.0
CHANGING = "The old database is still written to"
RISK = (
    "With --force it is read all the same. What the old service does meanwhile is not seen here: a record that it "
    "finishes after it was read is sent again by DataUnion, so that partners may get it twice and the chain may charge "
    "twice; what it begins comes in with the next run only."
)


class ChangingError(Exception):
    """Somebody writes to the source. The message says what to do."""


@dataclass(frozen=True)
class Read:
    """One document with what it says."""

    found: Found
    reading: Reading

    def new(self) -> NewRecord:
        """Return the record to register, without its payload."""
        user_hash, data_type, data_id = self.reading.reference or ("", "", "")
        return NewRecord(
            user_hash=user_hash,
            data_type=data_type,
            data_id=data_id,
            priority=BULK,
            known={name: side.known for name, side in self.reading.sides.items()},
            created_at=self.reading.created_at,
        )


@dataclass
class Adoption:
    """One run. In a dry run nothing is written anywhere, and the counts are the same."""

    source: Source
    report: Report
    dry_run: bool = False
    force: bool = False
    watch_s: float = WATCH_S
    takers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _twice: set[int] = field(default_factory=set)  # references that more than one document has
    _aside: dict[int, list[Read]] = field(default_factory=dict)

    def run(self) -> None:
        """Adopt everything. Raises SourceError, TrackingOffError, and ChangingError unless forced."""
        if not (self.dry_run or settings.DATAUNION_TRACKING):
            raise TrackingOffError
        self.source.check()
        rows = roster.find_partners(make=not self.dry_run)
        self.takers = {kind: frozenset(row.name for row in rows if row.takes(kind)) for kind in DataType}
        with self.report.progress():
            state = self._watch()
            self.report.total = state[RECORDS][0]
            self._look_for_doubles()
            self.report.doing = "looking" if self.dry_run else "adopting"
            for batch in self.source.read_records(BATCH):
                self._take_in(batch)
            self._take_in_doubles()
            self.report.doing = "looking whether anything changed"
            self._compare(state, "while it was read; what came in keeps the state in which it was read")

    def _watch(self) -> Mapping[str, Any]:
        self.report.doing = "watching whether anything changes"
        state = self.source.read_state()
        time.sleep(self.watch_s)
        return self._compare(state, f"within {self.watch_s:g} seconds")

    def _compare(self, state: Mapping[str, Any], when: str) -> Mapping[str, Any]:
        now = self.source.read_state()
        changed = [name for name in state if state[name] != now[name]]
        if not changed:
            return now
        what = f"{CHANGING}: {', '.join(changed)} changed {when}."
        if not self.force:
            raise ChangingError(f"{what} Stop the old service's queue and workers, then run this again.")
        self.report.tell(f"{what} {RISK}")
        return now

    # references that several documents have

    def _look_for_doubles(self) -> None:
        """Find them first, so that of each the document that knows most is taken, in whatever order they come."""
        self.report.doing = "looking at all references"
        seen: set[int] = set()
        for content in self.source.read_references():
            reference = read_reference(content)
            if reference is not None:
                digest = _digest(reference)
                (self._twice if digest in seen else seen).add(digest)

    def _put_aside(self, one: Read) -> bool:
        digest = _digest(one.reading.reference) if one.reading.reference else None
        if digest is None or digest not in self._twice:
            return False
        self._aside.setdefault(digest, []).append(one)
        return True

    def _take_in_doubles(self) -> None:
        chosen: list[Read] = []
        for documents in self._aside.values():
            best = max(documents, key=lambda one: one.reading.rank)
            chosen.append(best)
            for other in documents:
                if other is not best:
                    reason = "it has the reference of another document, which says more or came first"
                    self._leave_out(other, reason, beside=f": {best.found.name}")
        for at in range(0, len(chosen), BATCH):
            self._register(chosen[at : at + BATCH])

    # what comes in

    def _take_in(self, batch: Sequence[Found]) -> None:
        readable: list[Read] = []
        for found in batch:
            self.report.read += 1
            if found.content is None:
                self._leave_out(Read(found, Reading(reference=None)), "its bytes are no valid BSON document")
                continue
            one = Read(found, read_document(found.content, self.takers))
            fault = find_fault(one.new()) if one.reading.reference else None
            if one.reading.reference is None or fault:
                self._leave_out(one, str(fault) if fault else "; ".join(one.reading.problems))
            elif not self._put_aside(one):
                readable.append(one)
        self._register(readable)

    def _leave_out(self, one: Read, reason: str, beside: str = "") -> None:
        self.report.left_out += 1
        self.report.find(RECORDS, one.found.name, f"{reason}; left out", beside)

    def _register(self, documents: Sequence[Read]) -> None:
        """Register what is not here yet; what is, is left alone."""
        for one in documents:
            for problem in one.reading.problems:
                self.report.find(RECORDS, one.found.name, problem)
        news = [one.new() for one in documents]
        here = find_registered(news)
        present = [(here[key], new) for new in news if (key := _key(new)) in here]
        if not self.dry_run:
            note_references(present)
        self.report.present += len(present)
        fresh = [(one, new) for one, new in zip(documents, news, strict=True) if _key(new) not in here]
        self._create([(one, new) for one, new in self._with_payloads(fresh)])
        for one, new in zip(documents, news, strict=True):
            if _key(new) in here:
                self._count(one)

    def _create(self, fresh: Sequence[tuple[Read, NewRecord]]) -> None:
        news = [new for _, new in fresh]
        results = [find_fault(new) for new in news] if self.dry_run else register_records(news)
        for (one, _), result in zip(fresh, results, strict=True):
            if isinstance(result, IngestError):
                self._leave_out(one, str(result))
                continue
            self._count(one)
            if result is None or result.created:
                self.report.created += 1
            else:
                self.report.present += 1

    def _count(self, one: Read) -> None:
        self.report.sides.update((name, side.kind) for name, side in one.reading.sides.items())

    # payloads

    def _with_payloads(self, fresh: Sequence[tuple[Read, NewRecord]]) -> Iterator[tuple[Read, NewRecord]]:
        ids: dict[str, set[str]] = {}
        for _, new in fresh:
            if not is_elsewhere(new.data_type):
                ids.setdefault(new.data_type, set()).add(new.data_id)
        found = {data_type: self.source.read_payloads(data_type, wanted) for data_type, wanted in ids.items()}
        for one, new in fresh:
            if new.data_type not in found:
                self.report.payloads[f"{new.data_type} kept elsewhere"] += 1
                yield one, new
                continue
            payload = self._choose_payload(one, new, found[new.data_type].get(new.data_id, []))
            self.report.payloads[f"{new.data_type} {'missing' if payload is None else 'found'}"] += 1
            yield one, replace(new, payload=payload)

    def _choose_payload(self, one: Read, new: NewRecord, documents: Sequence[Found]) -> bytes | None:
        """Return the payload; None, and why, where there is none that is surely this record's."""
        collection, name = PAYLOADS[new.data_type]
        if not documents:
            self.report.find(
                RECORDS, one.found.name, f"no document of {collection} has its {name}; it comes in without payload"
            )
            return None
        own = [found for found in documents if _owner(found) in (None, new.user_hash)]
        if len(own) != 1:
            why = f"{len(own)} documents have this {name}" if own else "it belongs to another user_hash"
            self.report.find(collection, documents[0].name, f"{why}; the record comes in without payload")
            return None
        try:
            if own[0].content is None:
                raise LoaderError("its bytes are no valid BSON document")
            return _bounded(write_document(own[0].content))
        except LoaderError as error:
            self.report.find(collection, own[0].name, f"{error}; the record comes in without payload")
            return None


def _bounded(payload: bytes) -> bytes:
    limit = conf().ingest_max_payload_bytes
    if len(payload) > limit:
        raise LoaderError(f"it has {len(payload)} bytes, and the limit is {limit}")
    return payload


def _owner(found: Found) -> str | None:
    """Return whose a payload says that it is, where it says so."""
    owner = (found.content or {}).get("user_hash")
    return owner if isinstance(owner, str) else None


def _key(new: NewRecord) -> Reference:
    return new.user_hash, new.data_type, new.data_id


def _digest(reference: Reference) -> int:
    """Return eight bytes of a digest: millions of references must fit into memory."""
    text = "\0".join(reference).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
