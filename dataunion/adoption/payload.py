"""A document as the bytes that go to partners: canonical JSON, made once. Pure.

Keys are sorted, nothing is spaced, text is UTF-8. `_id` and `__v` are the old database's own and stay out.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import DatetimeMS, Decimal128, ObjectId

OWN_FIELDS = frozenset({"_id", "__v"})
_EXACT = 2**53


class UnwritableError(ValueError):
    """The document holds a value that JSON has no form for; the message says of which kind."""


def write_payload(document: Mapping[str, Any]) -> bytes:
    """Return a payload document as JSON. Raises UnwritableError."""
    plain = {name: _plain(value) for name, value in document.items() if name not in OWN_FIELDS}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        utc = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, DatetimeMS):
        raise UnwritableError("a time outside the years 1 to 9999")
    raise UnwritableError("a value of a type that JSON lacks")


def _number(value: float) -> int | float:
    """Return a number as JavaScript writes it: whole ones without a fraction."""
    if not math.isfinite(value):
        raise UnwritableError("a number that is not finite")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
