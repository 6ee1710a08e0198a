"""A MongoDB document as the bytes of a payload: JSON, always the same for the same document."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from bson import DatetimeMS, Decimal128, ObjectId

from dataunion.loaders.base import LoaderError

_MONGOOSE = {"_id", "__v"}  # the database's own: they say nothing about the person
_EXACT = 2**53  # below it every whole number is one that JavaScript holds


def write_document(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON: keys in order, times in ISO 8601 (UTC, ms), ids in hex, bytes in base64.

    `_id` and `__v` are left out. Raises LoaderError for what JSON has no form for: it names the field at the top, since
    a key further down may be health data itself.
    """
    plain = {key: _plain(value, key) for key, value in document.items() if key not in _MONGOOSE}
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LoaderError("a text in it is no Unicode") from None


def _plain(value: Any, field: str) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _plain_float(value, field)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, field) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, field) for inner in value]
    return _plain_rare(value, field)


def _plain_float(value: float, field: str) -> int | float:
    """Return a number as JavaScript writes it: whole ones without a fraction."""
    if not math.isfinite(value):
        raise LoaderError(f"field {field} holds a number that JSON has no form for")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _plain_rare(value: Any, field: str) -> str:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, ObjectId | Decimal128 | UUID):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, DatetimeMS):
        raise LoaderError(f"field {field} holds a time outside the years 1 to 9999")
    raise LoaderError(f"field {field} holds a {type(value).__name__}, which JSON has no form for")
