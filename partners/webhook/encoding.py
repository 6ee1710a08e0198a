"""What a delivery says, as bytes: the same record gives the same bytes at every attempt. Pure."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from partners.answers import parse_json
from partners.base import Item

CREATED, REVOKED, PING = "record.created", "record.revoked", "ping"


def encode_created(item: Item, payload: bytes) -> bytes:
    """Return the body that hands a record over.

    A payload that is JSON stands in it byte for byte as `data.payload`, any other as `data.payload_base64`.
    """
    data = _reference(item) | {
        "schema": item.schema_name,
        "recorded_at": item.recorded_at and item.recorded_at.isoformat(),
    }
    member, value = (
        ("payload", payload) if is_json(payload) else ("payload_base64", _dump(base64.b64encode(payload).decode()))
    )
    # The data come last and the payload last in them, so that its bytes can be put before the two closing braces.
    return _event(CREATED, data, _made_at(item))[:-2] + b"," + _dump(member) + b":" + value.strip() + b"}}"


def encode_revoked(item: Item) -> bytes:
    """Return the body that takes a record back: its reference only."""
    return _event(REVOKED, _reference(item), None)


def encode_ping() -> bytes:
    """Return the body of a test delivery."""
    return _event(PING, {}, None)


def is_json(payload: bytes) -> bool:
    """Say whether `payload` is one JSON value that any receiver can read."""
    try:
        parse_json(payload)
    except ValueError:
        return False
    return True


def _reference(item: Item) -> dict[str, Any]:
    return {
        "record_id": item.record_id,
        "user_hash": item.user_hash,
        "data_type": item.data_type,
        "data_id": item.data_id,
    }


def _event(kind: str, data: dict[str, Any], at: datetime | None) -> bytes:
    head = {"type": kind} | ({"timestamp": at.isoformat(timespec="milliseconds")} if at else {})
    return _dump({**head, "data": data})


def _made_at(item: Item) -> datetime | None:
    """Return when the record was made, which its UUIDv7 tells: a time that no retry changes."""
    try:
        record_id = UUID(item.record_id)
    except ValueError:
        return item.recorded_at
    if record_id.version != 7:
        return item.recorded_at
    return datetime.fromtimestamp((record_id.int >> 80) / 1000, UTC)


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
