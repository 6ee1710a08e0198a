"""All that is stored about one person, as the GDPR's article 15 has it: streamed as JSON, a few records at a time.

Without secrets: what partners' steps have saved (keys, signatures) is no data about anybody. Without who of the staff
asked for an attempt, too: that is about somebody else.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet

from dataunion import payloads
from dataunion.cursors import walk
from dataunion.models import PAYLOADS, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.models.record import USER_HASH_PATTERN

_AT_ONCE = 20  # records whose data is in memory at a time
_SECRET = ("retry_data",)
_ATTEMPT = (
    *("partner", "number", "step", "started_at", "duration_ms", "spent", "outcome"),
    *("error_class", "error_message", "http_status", "code"),
)
_JOB = ("partner", "status", "step", "attempts", "due_at", "error_class", "error_message", "created_at")
_REF = ("partner", "kind", "value")
_FACTS = ("schema_name", "recorded_at", "owner", "size_bytes")


def is_user_hash(text: str) -> bool:
    """Say whether this can be a user hash: letters, digits, "_" and "-"."""
    return re.fullmatch(USER_HASH_PATTERN, text) is not None


def find_records(user_hash: str) -> QuerySet[DataUnion]:
    """Return the person's records."""
    return DataUnion.objects.filter(user_hash=user_hash)


def write_export(user_hash: str, now: datetime, *, at_once: int = _AT_ONCE) -> Iterator[str]:
    """Return the parts of one JSON object. A file that was cut off lacks its end, `"complete": true`."""
    head = {"user_hash": user_hash, "exported_at": now}
    yield _dump(head)[:-1] + ', "records": ['
    before = "\n"
    for page in walk(find_records(user_hash), "", size=at_once):
        for told in _describe(page):
            yield before + _dump(told)
            before = ",\n"
    yield '\n], "complete": true}\n'


def _describe(records: list[DataUnion]) -> Iterator[dict[str, Any]]:
    pks = [record.pk for record in records]
    jobs = _by_record(SyncJob.objects.filter(record_id__in=pks), _JOB)
    attempts = _by_record(SyncAttempt.objects.filter(record_id__in=pks).order_by("created_at"), _ATTEMPT)
    refs = _by_record(RemoteRef.objects.filter(record_id__in=pks), _REF)
    data = payloads.read_payloads(records)
    facts = _read_facts(records)
    for record in records:
        yield {
            "record_id": record.pk,
            "data_type": record.data_type,
            "data_id": record.data_id,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "partners": {name: _entry(record.partners[name]) for name in record.partners},
            "open_work": jobs.get(record.pk, []),
            "attempts": attempts.get(record.pk, []),
            "remote_references": refs.get(record.pk, []),
            **facts.get(record.pk, {}),
            **_data(data.get(record.pk)),
        }


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in _SECRET}


def _by_record(rows: Iterable[Model], names: tuple[str, ...]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        one = {name: getattr(row, name) for name in names}
        found.setdefault(row.record_id, []).append(one)  # type: ignore[attr-defined]
    return found


def _read_facts(records: list[DataUnion]) -> dict[UUID, dict[str, Any]]:
    found: dict[UUID, dict[str, Any]] = {}
    for data_type, model in PAYLOADS.items():
        pks = [record.pk for record in records if record.data_type == data_type]
        for row in model._default_manager.filter(pk__in=pks).values("pk", *_FACTS) if pks else ():
            found[row.pop("pk")] = row
    return found


def _data(stored: bytes | payloads.Trouble | None) -> dict[str, Any]:
    """Return the data as it is stored: JSON, else text, else base64; or why it cannot be had."""
    if stored is None:
        return {"data": None, "data_missing": "not handed in"}
    if isinstance(stored, Exception):
        return {"data": None, "data_missing": str(stored)}
    try:
        text = stored.decode()
    except UnicodeDecodeError:
        return {"data_base64": b64encode(stored).decode()}
    try:
        return {"data": json.loads(text)}
    except ValueError:
        return {"data": text}


def _dump(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
