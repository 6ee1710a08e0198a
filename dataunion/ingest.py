"""The one door in: register_record() and register_records(). Nothing else makes records, data or first jobs.

The order is: jobs, data, record. A record that is visible has its work and its data; whatever a crash leaves behind
before that belongs to no record and is deleted by the audit. SQL wraps it in one transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from dataunion import claims, payloads, roster, vault
from dataunion.causes import name_cause
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import PAYLOADS, DataUnion, Partner, Payload, RemoteRef, SyncJob
from dataunion.models._fields import uuid7
from dataunion.models.record import DATA_ID_MAX_CHARS, SCHEMA_NAME_MAX_CHARS, USER_HASH_PATTERN
from dataunion.publication import in_one_transaction, insert_missing
from dataunion.state import LIVE, DataType, Known, PartnerEntry, Status
from dataunion.sync import tick
from dataunion.sync.items import WAIT_S

_ROWS = 500
Reference = tuple[str, str, str]  # user_hash, data_type, data_id


class IngestError(ValueError):
    """A record that cannot come in; the message says why and what to do."""


class InvalidRecordError(IngestError):
    """A field is missing or wrong; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TooLargeError(IngestError):
    """The payload is over the limit."""


class ConflictError(IngestError):
    """Other content is stored under the same reference."""


class TrackingOffError(IngestError):
    """New records are not taken now."""

    def __init__(self) -> None:
        super().__init__("new records are not taken now (DATAUNION_TRACKING is off); hand this in again later")


@dataclass(frozen=True, kw_only=True)
class NewRecord:
    """What is handed in. `payload` is bytes (a file's own, or serialised once by whoever took it), or None for later.

    Shape of owner: {"address": "0x…", "public_key": "04…"}; the public key may be missing. A record that has a past
    elsewhere brings what is `known` of it, by partner, and when it was made.
    """

    user_hash: str
    data_type: str
    data_id: str
    payload: bytes | None = None
    schema_name: str = ""
    recorded_at: datetime | None = None
    owner: dict[str, str] | None = None
    priority: int = LIVE
    known: Mapping[str, Known] = field(default_factory=dict)
    created_at: datetime | None = None

    def part(self, partner: str) -> Known:
        """Return what is known of a partner's part."""
        return self.known.get(partner, Known())


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The answer: the record, and whether this call made it."""

    record: DataUnion
    created: bool


def register_record(**fields: Any) -> Registered:
    """Register one record (fields as in NewRecord), or find the same one. Raises IngestError."""
    [result] = register_records([NewRecord(**fields)])
    if isinstance(result, IngestError):
        raise result
    return result


def register_records(news: Sequence[NewRecord]) -> list[Registered | IngestError]:
    """Register many records; each has its own result, in the order given. One bad record does not stop the rest."""
    rows = roster.find_active()
    refused = {n: error for n, new in enumerate(news) if (error := find_fault(new)) is not None}
    good = {n: new for n, new in enumerate(news) if n not in refused}
    made = _create_unseen(good, rows) if len(good) > 1 and settings.DATAUNION_TRACKING else {}
    results: list[Registered | IngestError] = []
    for n, new in enumerate(news):
        if n in refused:
            results.append(refused[n])
        elif n in made:
            results.append(Registered(record=made[n], created=True))
        else:
            results.append(_register_or_refuse(new, rows))
    registered = [(r.record, new) for r, new in zip(results, news, strict=True) if isinstance(r, Registered)]
    note_references(registered)
    if registered:
        tick.nudge_partners()
    return results


def find_registered(news: Iterable[NewRecord]) -> dict[Reference, DataUnion]:
    """Return the records that are here already, by reference."""
    wanted = {_reference(new) for new in news}
    stored = DataUnion.objects.filter(
        user_hash__in={user for user, _, _ in wanted}, data_id__in=[data_id for _, _, data_id in wanted]
    )
    found = {(record.user_hash, record.data_type, record.data_id): record for record in stored}
    return {reference: record for reference, record in found.items() if reference in wanted}


def note_references(registered: Iterable[tuple[DataUnion, NewRecord]]) -> None:
    """Store what is missing of the names under which partners are known to have these records.

    They are written after the record: whoever died in between hands it in again, and they are completed.
    """
    rows = {
        (record.pk, name, kind, value[:200])
        for record, new in registered
        for name, known in new.known.items()
        if known.refs and name in record.partners and record.entry(name).is_synced
        for kind, value in known.refs
    }
    if not rows:
        return
    stored = RemoteRef.objects.filter(record_id__in={row[0] for row in rows})
    rows -= set(stored.values_list("record_id", "partner", "kind", "value"))
    missing = [RemoteRef(record_id=pk, partner=name, kind=kind, value=value) for pk, name, kind, value in sorted(rows)]
    try:
        with transaction.atomic():
            RemoteRef.objects.bulk_create(missing, batch_size=_ROWS)
    except IntegrityError:
        insert_missing(missing)


def find_fault(new: NewRecord) -> IngestError | None:
    """Say why a record cannot come in; None where it can, as far as it tells by itself."""
    try:
        _validate(new)
    except IngestError as error:
        return error
    return None


def _create_unseen(news: Mapping[int, NewRecord], rows: Sequence[Partner]) -> dict[int, DataUnion]:
    """Write all new references of a batch in a few statements; {} when another process was faster with one of them."""
    references = {_reference(new): n for n, new in reversed(list(news.items()))}
    for reference in find_registered(news.values()):
        references.pop(reference, None)
    now = db_now()
    drafts = {n: _draft(news[n], rows, now) for n in references.values()}
    if not drafts or not _write(list(drafts.values())):
        return {}
    return {n: draft.record for n, draft in drafts.items()}


def _reference(new: NewRecord) -> Reference:
    return new.user_hash, new.data_type, new.data_id


def _register_or_refuse(new: NewRecord, rows: Sequence[Partner]) -> Registered | IngestError:
    try:
        return _register(new, rows)
    except IngestError as error:
        return error


def _validate(new: NewRecord) -> None:
    if isinstance(new.user_hash, str) and "@" in new.user_hash:
        raise InvalidRecordError(
            "user_hash", "user_hash looks like an e-mail address; hand in a hash of it, never the address itself"
        )
    if not isinstance(new.user_hash, str) or not re.fullmatch(USER_HASH_PATTERN, new.user_hash):
        raise InvalidRecordError("user_hash", "user_hash should be 1 to 128 letters, digits, - or _")
    if new.data_type not in list(DataType):
        raise InvalidRecordError("data_type", f"data_type should be one of: {', '.join(DataType)}")
    if not _is_text(new.data_id, DATA_ID_MAX_CHARS) or not new.data_id:
        raise InvalidRecordError("data_id", f"data_id should be 1 to {DATA_ID_MAX_CHARS} characters")
    if not _is_text(new.schema_name, SCHEMA_NAME_MAX_CHARS):
        raise InvalidRecordError("schema", f"schema should be a name of at most {SCHEMA_NAME_MAX_CHARS} characters")
    if new.payload is not None and len(new.payload) > conf().ingest_max_payload_bytes:
        raise TooLargeError(
            f"payload has {len(new.payload)} bytes; the limit is {conf().ingest_max_payload_bytes} bytes"
        )
    _validate_owner(new.owner)


def _is_text(value: object, max_chars: int) -> bool:
    """Say whether every database can store this: no NUL, no half of a surrogate pair."""
    return isinstance(value, str) and len(value) <= max_chars and not re.search("[\x00\ud800-\udfff]", value)


def _validate_owner(owner: dict[str, str] | None) -> None:
    if owner is None:
        return
    if not isinstance(owner, dict):
        raise InvalidRecordError("owner", "owner should be an object with address and public_key")
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", str(owner.get("address", ""))):
        raise InvalidRecordError("owner", "owner.address should be 0x and 40 hexadecimal digits")
    if not re.fullmatch(r"(04[0-9a-fA-F]{128})?", str(owner.get("public_key", ""))):
        raise InvalidRecordError("owner", "owner.public_key should be 04 and 128 hexadecimal digits")
    if set(owner) - {"address", "public_key"}:
        raise InvalidRecordError("owner", "owner may hold address and public_key only")


def _register(new: NewRecord, rows: Sequence[Partner]) -> Registered:
    record = DataUnion.find_by_data_reference(new.user_hash, new.data_type, new.data_id)
    if record is None:
        if not settings.DATAUNION_TRACKING:
            raise TrackingOffError
        draft = _draft(new, rows, db_now())
        if _write([draft]):
            return Registered(record=draft.record, created=True)
        record = DataUnion.find_by_data_reference(new.user_hash, new.data_type, new.data_id)
        if record is None:
            raise ConflictError("another request is handing in the same reference; send it again")
    if new.payload is not None:
        _attach(record, new)
    return Registered(record=record, created=False)


@dataclass(frozen=True)
class Draft:
    """A record's rows before they are written."""

    record: DataUnion
    jobs: list[SyncJob]
    data: Payload | None


def _draft(new: NewRecord, rows: Sequence[Partner], now: datetime) -> Draft:
    pk = uuid7()
    takers = [row for row in rows if row.takes(new.data_type)]
    record = DataUnion(
        pk=pk,
        user_hash=new.user_hash,
        data_type=new.data_type,
        data_id=new.data_id,
        partners={row.name: _first_entry(new.part(row.name), row.name, pk).dump() for row in takers},
        created_at=new.created_at or now,
        updated_at=now,
    )
    jobs = [_first_job(new, row, pk, now) for row in takers if not new.part(row.name).is_synced]
    return Draft(record, jobs, None if new.payload is None else _payload_row(record, new, new.payload))


def _write(drafts: Sequence[Draft]) -> bool:
    """Write jobs, data and records, in this order; False, and nothing of the losers left, when one was there already.

    On MongoDB some of a batch may stand by then: those are whole, and found as existing by whoever goes on.
    """
    data = [draft.data for draft in drafts if draft.data is not None]
    began = time.monotonic()
    try:
        with in_one_transaction():
            SyncJob.objects.bulk_create([job for draft in drafts for job in draft.jobs], batch_size=_ROWS)
            for model in PAYLOADS.values():
                model._default_manager.bulk_create([row for row in data if isinstance(row, model)], batch_size=_ROWS)
            DataUnion.objects.bulk_create([draft.record for draft in drafts], batch_size=_ROWS)
            _bring_again(data, took_s=time.monotonic() - began)
    except IntegrityError:
        pks = [draft.record.pk for draft in drafts]
        whole = set(DataUnion.objects.filter(pk__in=pks).values_list("pk", flat=True))
        lost = [pk for pk in pks if pk not in whole]
        SyncJob.objects.filter(record_id__in=lost).delete()
        for model in PAYLOADS.values():
            model._default_manager.filter(pk__in=lost).delete()
        return False
    return True


def _bring_again(data: Sequence[Payload], *, took_s: float) -> None:
    """Insert what is missing of the data if this took so long that the audit may have thought it nobody's."""
    if took_s > conf().sync_orphan_s / 2:
        for row in data:
            if not type(row)._default_manager.filter(pk=row.pk).exists():
                row.save(force_insert=True)


def _first_entry(known: Known, partner: str, pk: UUID) -> PartnerEntry:
    if not known.is_synced:
        return PartnerEntry(fence=0, error_message=known.error_message)
    retry_data = vault.to_text(claims.seal_saved(pk, partner, known.saved)) if known.saved else None
    return PartnerEntry(fence=0, is_synced=True, retry_data=retry_data, receipt=known.receipt)


def _first_job(new: NewRecord, row: Partner, pk: UUID, now: datetime) -> SyncJob:
    """Make the job; one that waits for data or for another partner is due later, and woken when that is there."""
    waits_s = 0.0
    if new.payload is None and not payloads.is_elsewhere(new.data_type):
        waits_s = WAIT_S
    elif not all(new.part(name).is_synced for name in roster.requirements(row)):
        waits_s = conf().sync_requirement_s
    known = new.part(row.name)
    failed = known.status == Status.FAILED
    return SyncJob(
        record_id=pk,
        partner=row.name,
        user_hash=new.user_hash,
        data_type=new.data_type,
        priority=new.priority,
        status=known.status,
        error_class="reported" if failed else "",
        error_message=known.error_message or "",
        cause=name_cause(known.error_message) if known.error_message else None,
        saved=claims.seal_saved(pk, row.name, known.saved) if known.saved else None,
        due_at=now + timedelta(seconds=waits_s),
        created_at=now,
        changed_at=now,
    )


def _payload_row(record: DataUnion, new: NewRecord, payload: bytes) -> Payload:
    facts = payloads.Facts(schema_name=new.schema_name, recorded_at=new.recorded_at, owner=new.owner)
    return payloads.make_row(record, payload, facts)


def _attach(record: DataUnion, new: NewRecord) -> None:
    """Give an existing record its data, or see that it is the same. Raises ConflictError."""
    payload = new.payload or b""
    rows = PAYLOADS[new.data_type]._default_manager.filter(pk=record.pk)
    stored = rows.values_list("digest", flat=True).first()
    if stored is None:
        try:
            with transaction.atomic():
                _payload_row(record, new, payload).save(force_insert=True)
        except IntegrityError:
            _attach(record, new)
            return
        claims.bring_forward([record.pk], list(record.partners), db_now())
    elif stored == vault.content_digest(payload):
        _keep_here(record, rows, payload)
    else:
        raise ConflictError(
            "other content is already stored under this user_hash, data_type and data_id; use a new data_id"
        )


def _keep_here(record: DataUnion, rows: QuerySet[Payload], payload: bytes) -> None:
    """Store data that was kept elsewhere until now: whoever hands it in may do so because it is gone there."""
    sealed = vault.seal(payload, rows.model._meta.db_table, record.pk)
    if rows.filter(payload=payloads.ELSEWHERE).update(payload=sealed):
        claims.bring_forward([record.pk], list(record.partners), db_now())
