"""What a step sees of its record: items made from a chunk's jobs, with payload and required partners' results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from dataunion import claims, vault
from dataunion.conf import conf
from dataunion.loaders.base import StoreAwayError
from dataunion.models import DataUnion, SyncJob
from dataunion.payloads import Facts, PayloadError, Trouble, find_facts, read_payloads
from dataunion.state import PartnerEntry
from partners.base import PUSH, Item, Owner, Required
from partners.errors import BlockedError, MisconfiguredError, NotReady, PartnerError, PermanentError

WAIT_S = 900.0
_AWAY_S = 30.0  # until data that is kept elsewhere is asked for again


class MissingRecordError(Exception):
    """The job's record is not there (yet)."""


class Unready(NotReady):
    """The record waits for its data or for another partner: no limit, since what it waits for wakes it."""


def build_items(jobs: Sequence[SyncJob], requires: Sequence[str]) -> dict[UUID, Item | Exception]:
    """Make an Item for each job, or say why it cannot go on; by job key."""
    records = DataUnion.objects.in_bulk([job.record_id for job in jobs])
    data = find_facts(records.values(), {job.record_id for job in jobs if job.kind == PUSH})
    made: dict[UUID, Item | Exception] = {}
    for job in jobs:
        record = records.get(job.record_id)
        try:
            made[job.pk] = _build(job, record, data.get(job.record_id), requires) if record else MissingRecordError()
        except vault.VaultError as error:
            made[job.pk] = _explain(job.partner, error)
    return made


def _explain(partner: str, error: Trouble) -> PartnerError:
    """Say what becomes of a job whose data cannot be had: only its own, unless a key or the whole store is missing."""
    if isinstance(error, StoreAwayError):
        message = f"The store that keeps this record's data cannot be asked ({error}); it is asked again soon."
        return NotReady(message, after_s=_AWAY_S, at_most_s=math.inf)
    if isinstance(error, PayloadError):
        return PermanentError(f"{partner}: {error}", kind=error.kind)
    if isinstance(error, vault.UnknownKeyError):
        return MisconfiguredError(f"{partner}: stored data cannot be opened: {error}")
    return PermanentError(f"{partner}: stored data cannot be opened: {error}", kind="damaged")


def _build(job: SyncJob, record: DataUnion, facts: Facts | Trouble | None, requires: Sequence[str]) -> Item | Exception:
    needed = requires if job.kind == PUSH else ()  # taking back waits for nobody, not even for data
    strange = [name for name in needed if name not in record.partners]
    if strange:
        return BlockedError(f"{job.partner} needs {strange[0]}, and this record is not enrolled with it.")
    missing = [name for name in needed if not _entry(record, name).is_synced]
    if facts is None and job.kind == PUSH:
        return Unready("The record's data has not been handed in yet.", after_s=WAIT_S)
    if job.kind == PUSH and not isinstance(facts, Facts | None):
        return _explain(job.partner, facts)
    if missing:
        return Unready(f"Waits for {missing[0]}.", after_s=conf().sync_requirement_s)
    known = facts if isinstance(facts, Facts) else Facts()
    return Item(
        record_id=str(record.pk),
        partner=job.partner,
        user_hash=record.user_hash,
        data_type=record.data_type,
        data_id=record.data_id,
        kind=job.kind,
        schema_name=known.schema_name,
        recorded_at=known.recorded_at,
        owner=Owner(**known.owner) if known.owner else None,
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
    """Return the items with their payload in clear, or why it cannot be had; by record id."""
    items = list(items)
    found = read_payloads(map(_record_of, items))
    return {item.record_id: _with_payload(item, found.get(UUID(item.record_id))) for item in items}


def _record_of(item: Item) -> DataUnion:
    return DataUnion(pk=UUID(item.record_id), user_hash=item.user_hash, data_type=item.data_type, data_id=item.data_id)


def _with_payload(item: Item, found: bytes | Trouble | None) -> Item | PartnerError:
    if found is None:
        return PermanentError(f"{item.partner}: the record's data is gone; hand it in again", kind="damaged")
    return replace(item, payload=found) if isinstance(found, bytes) else _explain(item.partner, found)


def snooze_s(job: SyncJob, now: datetime) -> float:
    """Return when to look again for a record that is not there: soon at first, since it is on its way in."""
    return min(30.0, max(1.0, (now - job.created_at).total_seconds()))


def is_orphan(job: SyncJob, now: datetime) -> bool:
    """Say whether the job's record has been missing for so long that it will not come any more."""
    return bool(now - job.created_at > timedelta(seconds=conf().sync_orphan_s))
