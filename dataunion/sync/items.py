"""What a step sees of its record: items made from a chunk's jobs, with payload and required partners' results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dataunion import claims, vault
from dataunion.conf import conf
from dataunion.models import PAYLOADS, DataUnion, Payload, SyncJob
from dataunion.state import PartnerEntry
from partners.base import PUSH, Item, Owner, Required
from partners.errors import BlockedError, MisconfiguredError, NotReady, PartnerError, PermanentError

WAIT_S = 900.0


class MissingRecordError(Exception):
    """The job's record is not there (yet)."""


class Unready(NotReady):
    """The record waits for its data or for another partner: no limit, since what it waits for wakes it."""


def build_items(jobs: Sequence[SyncJob], requires: Sequence[str]) -> dict[UUID, Item | Exception]:
    """Make an Item for each job, or say why it cannot go on; by job key."""
    records = DataUnion.objects.in_bulk([job.record_id for job in jobs])
    data = _load_facts(records.values())
    made: dict[UUID, Item | Exception] = {}
    for job in jobs:
        record = records.get(job.record_id)
        try:
            made[job.pk] = _build(job, record, data.get(job.record_id), requires) if record else MissingRecordError()
        except vault.VaultError as error:
            made[job.pk] = _unopened(job.partner, error)
    return made


def _unopened(partner: str, error: vault.VaultError) -> PartnerError:
    """Say what becomes of a job whose sealed data does not open: only its own, unless the key itself is missing."""
    if isinstance(error, vault.UnknownKeyError):
        return MisconfiguredError(f"{partner}: stored data cannot be opened: {error}")
    return PermanentError(f"{partner}: stored data cannot be opened: {error}", kind="damaged")


def _load_facts(records: Iterable[DataUnion]) -> dict[UUID, Mapping[str, Any]]:
    """Return what is known of each record's data, without the data itself."""
    found: dict[UUID, Mapping[str, Any]] = {}
    by_type: dict[str, list[UUID]] = {}
    for record in records:
        by_type.setdefault(record.data_type, []).append(record.pk)
    for data_type, ids in by_type.items():
        rows = PAYLOADS[data_type]._default_manager.filter(pk__in=ids)
        found.update({row["pk"]: row for row in rows.values("pk", "schema_name", "recorded_at", "owner")})
    return found


def _build(
    job: SyncJob, record: DataUnion, facts: Mapping[str, Any] | None, requires: Sequence[str]
) -> Item | Exception:
    needed = requires if job.kind == PUSH else ()  # taking back waits for nobody, not even for data
    strange = [name for name in needed if name not in record.partners]
    if strange:
        return BlockedError(f"{job.partner} needs {strange[0]}, and this record is not enrolled with it.")
    missing = [name for name in needed if not _entry(record, name).is_synced]
    if facts is None and job.kind == PUSH:
        return Unready("The record's data has not been handed in yet.", after_s=WAIT_S)
    if missing:
        return Unready(f"Waits for {missing[0]}.", after_s=conf().sync_requirement_s)
    facts = facts or {"schema_name": "", "recorded_at": None, "owner": None}
    owner = facts["owner"] or {}
    return Item(
        record_id=str(record.pk),
        partner=job.partner,
        user_hash=record.user_hash,
        data_type=record.data_type,
        data_id=record.data_id,
        kind=job.kind,
        schema_name=facts["schema_name"],
        recorded_at=facts["recorded_at"],
        owner=Owner(**owner) if owner else None,
        saved=claims.open_saved(job),
        required={name: _required(record, name) for name in requires if _entry(record, name).is_synced},
    )


def _entry(record: DataUnion, partner: str) -> PartnerEntry:
    return PartnerEntry.parse(record.partners.get(partner, {}))


def _required(record: DataUnion, partner: str) -> Required:
    entry = _entry(record, partner)
    sealed = vault.from_text(entry.retry_data) if entry.retry_data else None
    return Required(entry=entry.receipt, retry_data=vault.open_json(sealed, "sync", record.pk, partner))


def load_payloads(items: Iterable[Item]) -> dict[str, Item | PartnerError]:
    """Return the items with their payload in clear, or why it does not open; by record id."""
    by_type: dict[str, list[Item]] = {}
    for item in items:
        by_type.setdefault(item.data_type, []).append(item)
    loaded: dict[str, Item | PartnerError] = {}
    for data_type, group in by_type.items():
        model = PAYLOADS[data_type]
        sealed = dict(model._default_manager.filter(pk__in=[i.record_id for i in group]).values_list("pk", "payload"))
        for item in group:
            loaded[item.record_id] = _with_payload(item, model, sealed)
    return loaded


def _with_payload(item: Item, model: type[Payload], sealed: Mapping[UUID, Any]) -> Item | PartnerError:
    pk = UUID(item.record_id)
    if pk not in sealed:
        return PermanentError(f"{item.partner}: the record's data is gone; hand it in again", kind="damaged")
    try:
        return replace(item, payload=vault.open_sealed(bytes(sealed[pk]), model._meta.db_table, pk))
    except vault.VaultError as error:
        return _unopened(item.partner, error)


def snooze_s(job: SyncJob, now: datetime) -> float:
    """Return when to look again for a record that is not there: soon at first, since it is on its way in."""
    return min(30.0, max(1.0, (now - job.created_at).total_seconds()))


def is_orphan(job: SyncJob, now: datetime) -> bool:
    """Say whether the job's record has been missing for so long that it will not come any more."""
    return bool(now - job.created_at > timedelta(seconds=conf().sync_orphan_s))
