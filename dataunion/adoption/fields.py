"""Taking values out of documents that may hold anything; what is not as it should be is noted by path. Pure.

A note says where and of which kind a value is, never the value: it may be health data or a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_KINDS = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
    datetime: "a time",
    bytes: "bytes",
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_LARGEST = 2**63 - 1


def kind_of(value: object) -> str:
    """Say what a value is, in a word or two."""
    if value is None:
        return "null"
    return next((word for kind, word in _KINDS.items() if isinstance(value, kind)), "of a type that JSON lacks")


class Reader:
    """Reads fields of one document; `problems` are what could not be read, a clause each."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def note(self, problem: str) -> None:
        """Keep a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def mapping(self, value: object, path: str) -> Mapping[str, Any]:
        """Return an object, also where it was stored as JSON text; {} for null, and for what is none."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                pass
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.note(f"{path} is {kind_of(value)}, not an object")
        return {}

    def text(self, value: object, path: str) -> str:
        """Return text; "" for null, and for what is none."""
        if isinstance(value, str) and not re.search("[\x00\ud800-\udfff]", value):
            return value.strip()
        if value is not None:
            self.note(f"{path} is {kind_of(value)}, not text")
        return ""

    def flag(self, value: object, path: str) -> bool | None:
        """Return a truth value, also where it was stored as text or number; None where it cannot be told."""
        if value is None or isinstance(value, bool):
            return value
        told = str(value).strip().lower() if isinstance(value, str | int | float) else ""
        meant = _TRUTH.get(told.removesuffix(".0"))
        self.note(
            f"{path} is {kind_of(value)}, not a truth value" + (f"; read as {meant}" if meant is not None else "")
        )
        return meant

    def number(self, value: object, path: str) -> int | None:
        """Return a whole number above 0, also where it was stored as text or as a float."""
        told = str(value).strip().removesuffix(".0") if not isinstance(value, bool) else ""
        if re.fullmatch("[0-9]{1,19}", told) and 0 < int(told) <= _LARGEST:
            return int(told)
        if value is not None:
            self.note(f"{path} is {kind_of(value)}, not a number above 0")
        return None

    def secret(self, value: object, path: str, size: int) -> str:
        """Return so many bytes as hex, stored as hex, as binary, as a list of numbers or as Node's Buffer."""
        if isinstance(value, Mapping) and value.get("type") == "Buffer":
            value = value.get("data", b"")
        try:
            if isinstance(value, str):
                found = bytes.fromhex(value.strip().removeprefix("0x"))
            elif isinstance(value, bytes | list):
                found = bytes(value)
            else:
                found = b""
        except (ValueError, TypeError):
            found = b""
        if len(found) == size:
            return found.hex()
        if value is not None:
            self.note(f"{path} is not {size} bytes")
        return ""

    def moment(self, document: Mapping[str, Any], *names: str) -> datetime | None:
        """Return the first of these fields that is a time of the past; None where none is."""
        for name in names:
            value = document.get(name)
            if isinstance(value, str):
                value = _parse_time(value)
            if isinstance(value, datetime):
                at = value if value.tzinfo else value.replace(tzinfo=UTC)
                if datetime(2000, 1, 1, tzinfo=UTC) <= at <= datetime.now(UTC):
                    return at.astimezone(UTC)
            if document.get(name) is not None:
                self.note(f"{name} is no time of the past")
        return None


def _parse_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def hush(message: str) -> str:
    """Return an old error message without what may be a secret in it: long hex, queries of URLs, what is very long."""
    message = re.sub(r"(https?://[^\s?]+)\?\S+", r"\1?…", message)
    message = re.sub(r"(0x)?[0-9a-fA-F]{64,}", "…", message)
    return message[:500]
