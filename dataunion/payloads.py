"""The data of records: what is known of it, and its bytes, whether it is ours or read from where a loader finds it.

Data that stays elsewhere has a row of ours too, with its digest and without its bytes, made before it is first sent:
a record's key encrypts one message only, so that data which has changed since is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID
from weakref import WeakKeyDictionary

from dataunion import vault
from dataunion.conf import conf
from dataunion.loaders.base import Loaded, Loader, LoaderError, Reference, StoreAwayError
from dataunion.loaders.registry import find_loader
from dataunion.models import PAYLOADS, DataUnion, Payload
from dataunion.publication import insert_missing

log = logging.getLogger(__name__)
_QUIET_S = 30.0  # a store that is away is left alone for so long, or every chunk would wait for it
_away: WeakKeyDictionary[Loader, tuple[float, StoreAwayError]] = WeakKeyDictionary()  # only spares time
ELSEWHERE = b""  # `payload` of a row whose bytes the loader has


class PayloadError(Exception):
    """A record's data cannot be used; the message says why and what to do, and shows none of it."""

    def __init__(self, message: str, *, kind: str = "damaged") -> None:
        super().__init__(message)
        self.kind = kind


Trouble = PayloadError | StoreAwayError | vault.VaultError


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a record's data beside its bytes. Shape of owner: as in ingest.NewRecord."""

    schema_name: str = ""
    recorded_at: datetime | None = None
    owner: Mapping[str, str] | None = None


def is_elsewhere(data_type: str) -> bool:
    """Say whether the data of this type is looked for by a loader."""
    return find_loader(data_type) is not None


def make_row(record: DataUnion, payload: bytes, facts: Facts, *, stored: bytes | None = None) -> Payload:
    """Return the row of a record's data, not saved yet; `stored` is what stands for bytes that stay elsewhere."""
    model = PAYLOADS[record.data_type]
    return model(
        id=record.pk,
        user_hash=record.user_hash,
        data_id=record.data_id,
        payload=vault.seal(payload, model._meta.db_table, record.pk) if stored is None else stored,
        size_bytes=len(payload),
        digest=vault.content_digest(payload),
        schema_name=facts.schema_name,
        recorded_at=facts.recorded_at,
        owner=facts.owner,
    )


def find_facts(records: Iterable[DataUnion], wanted: Collection[UUID]) -> dict[UUID, Facts | Trouble]:
    """Return what is known of each record's data, or why that cannot be told; none where it has not come yet.

    Only for the records in `wanted` is a loader asked.
    """
    found: dict[UUID, Facts | Trouble] = {}
    for data_type, group in _by_type(records):
        rows = PAYLOADS[data_type]._default_manager.filter(pk__in=[record.pk for record in group])
        for pk, schema_name, recorded_at, owner in rows.values_list("pk", "schema_name", "recorded_at", "owner"):
            found[pk] = Facts(schema_name=schema_name, recorded_at=recorded_at, owner=owner)
        if is_elsewhere(data_type):
            found |= _look_elsewhere([record for record in group if record.pk in wanted and record.pk not in found])
    return found


def _look_elsewhere(records: list[DataUnion]) -> dict[UUID, Facts | Trouble]:
    """Ask the loader for data that is not ours, and keep the digest of what it has."""
    found: dict[UUID, Facts | Trouble] = {}
    rows: list[Payload] = []
    for record, loaded in _load(records).items():
        if not isinstance(loaded, Loaded):
            found[record.pk] = loaded
            continue
        owner = asdict(loaded.owner) if loaded.owner else None
        facts = Facts(schema_name=loaded.schema_name, recorded_at=loaded.recorded_at, owner=owner)
        rows.append(make_row(record, loaded.payload, facts, stored=ELSEWHERE))
        found[record.pk] = facts
    for model in PAYLOADS.values():
        insert_missing([row for row in rows if isinstance(row, model)])
    return found


def read_payloads(records: Iterable[DataUnion]) -> dict[UUID, bytes | Trouble]:
    """Return the data of each record in clear, or why it cannot be had; none where there is none."""
    found: dict[UUID, bytes | Trouble] = {}
    for data_type, group in _by_type(records):
        model = PAYLOADS[data_type]
        digests: dict[UUID, str] = {}
        rows = model._default_manager.filter(pk__in=[record.pk for record in group])
        for pk, sealed, digest in rows.values_list("pk", "payload", "digest"):
            if bytes(sealed) == ELSEWHERE:
                digests[pk] = digest
            else:
                found[pk] = _open(bytes(sealed), model._meta.db_table, pk)
        found |= _read_elsewhere([record for record in group if record.pk in digests], digests)
    return found


def _read_elsewhere(records: list[DataUnion], digests: Mapping[UUID, str]) -> dict[UUID, bytes | Trouble]:
    found: dict[UUID, bytes | Trouble] = {}
    for record, loaded in _load(records).items():
        if not isinstance(loaded, Loaded):
            found[record.pk] = loaded
        elif vault.content_digest(loaded.payload) == digests[record.pk]:
            found[record.pk] = loaded.payload
        else:
            found[record.pk] = PayloadError(
                "its data was changed where it is kept; a record's data stays as it was, so hand the new data in under "
                "a new data_id",
                kind="changed",
            )
    return found


def _load(records: list[DataUnion]) -> dict[DataUnion, Loaded | Trouble]:
    if not records:
        return {}
    data_type = records[0].data_type
    loader = find_loader(data_type)
    if loader is None:
        return {}
    quiet_until, away = _away.get(loader, (0.0, None))
    if away is not None and time.monotonic() < quiet_until:
        return dict.fromkeys(records, away)
    references = {Reference(record.user_hash, record.data_id): record for record in records}
    found = _ask(loader, list(references))
    for trouble in found.values():
        if isinstance(trouble, StoreAwayError):
            _away[loader] = (time.monotonic() + _QUIET_S, trouble)
            log.warning("loader.away", extra={"data_type": data_type, "cause": str(trouble)})
            break
    return {references[reference]: _judge(loaded) for reference, loaded in found.items() if reference in references}


def _ask(loader: Loader, references: Sequence[Reference]) -> Mapping[Reference, Loaded | LoaderError | StoreAwayError]:
    """Ask a loader. Its bug must not take other records' work down, so that it is asked again one by one."""
    try:
        return dict(loader.load(references))
    except StoreAwayError as error:
        return dict.fromkeys(references, error)
    except Exception as error:
        bug = type(error).__name__
    if len(references) > 1:
        return {key: found for one in references for key, found in _ask(loader, [one]).items()}
    log.error("loader.bug", extra={"type": bug, "loader": type(loader).__name__})
    return dict.fromkeys(references, LoaderError(f"its loader failed, {bug}"))


def _judge(loaded: object) -> Loaded | Trouble:
    if isinstance(loaded, StoreAwayError):
        return loaded
    if isinstance(loaded, LoaderError):
        return PayloadError(f"its data cannot be used: {loaded}")
    if not (isinstance(loaded, Loaded) and isinstance(loaded.payload, bytes)):
        return PayloadError("its data cannot be used: the loader gave something else than bytes")
    limit = conf().ingest_max_payload_bytes
    if len(loaded.payload) > limit:
        return PayloadError(f"its data has {len(loaded.payload)} bytes; the limit is {limit} bytes")
    return loaded


def _open(sealed: bytes, table: str, pk: UUID) -> bytes | vault.VaultError:
    try:
        return vault.open_sealed(sealed, table, pk)
    except vault.VaultError as error:
        return error


def _by_type(records: Iterable[DataUnion]) -> Iterable[tuple[str, list[DataUnion]]]:
    groups: dict[str, list[DataUnion]] = {}
    for record in records:
        groups.setdefault(record.data_type, []).append(record)
    return groups.items()
