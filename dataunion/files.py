"""Records from files: JSON, NDJSON, and folders of them. A bad file or line is told by name and reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dataunion.ingest import InvalidRecordError, NewRecord
from dataunion.state import BULK
from partners.answers import parse_json

SUFFIXES = (".json", ".ndjson", ".jsonl")
_FIELDS = {"user_hash", "data_type", "data_id", "payload", "schema", "recorded_at", "owner"}


class NothingFoundError(ValueError):
    """The path does not exist, or holds no file that matches."""


@dataclass(frozen=True)
class Source:
    """One record as it was found; `problem` says why there is none."""

    name: str  # path, with #line for NDJSON and #position for lists
    record: NewRecord | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """How to read files that are bare payloads: whose they are and of which type, by relative path."""

    user_hash: Callable[[str], str]
    data_type: Callable[[str], str]


def spread_over_users(count: int) -> Callable[[str], str]:
    """Return a function that gives each path one of `count` user hashes, always the same."""

    def user_hash(path: str) -> str:
        number = int.from_bytes(hashlib.sha256(path.encode()).digest()[:8]) % count
        return hashlib.sha256(f"user {number}".encode()).hexdigest()

    return user_hash


def read_path(path: Path, *, include: str = "*", documents: Documents | None = None) -> Iterator[Source]:
    """Read every record of a file or folder. With `documents` each file (or line) is a payload, kept byte for byte;

    without, it is an object {"user_hash", "data_type", "data_id", "payload", …} or a list of them.
    Raises NothingFoundError.
    """
    files = _find_files(path, include)
    base = path if path.is_dir() else path.parent
    for file in files:
        name = file.relative_to(base).as_posix()
        try:
            raw = file.read_bytes()
        except OSError as error:
            yield Source(name, problem=f"cannot be read: {error.strerror}")
            continue
        yield from _read_file(name, raw, file.suffix != ".json", documents)


def _find_files(path: Path, include: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NothingFoundError(f"{path} does not exist; name a file or a folder")
    found = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and f.is_file())
    found = [f for f in found if fnmatch(f.relative_to(path).as_posix(), include)]
    if not found:
        raise NothingFoundError(f"no {', '.join(SUFFIXES)} file under {path} matches {include!r}")
    return found


def _read_file(name: str, raw: bytes, lines: bool, documents: Documents | None) -> Iterator[Source]:
    if not lines:
        yield from _read_part(name, raw, documents)
        return
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            yield from _read_part(f"{name}#{number}", line, documents)


def _read_part(name: str, raw: bytes, documents: Documents | None) -> Iterator[Source]:
    try:
        value = parse_json(raw)
    except UnicodeDecodeError:
        yield Source(name, problem="is not UTF-8 text")
        return
    except ValueError as error:
        yield Source(name, problem=f"is not JSON: {_where(error)}")
        return
    if documents is not None:
        user_hash, data_type = documents.user_hash(name), documents.data_type(name)
        yield Source(
            name, NewRecord(user_hash=user_hash, data_type=data_type, data_id=name, payload=raw, priority=BULK)
        )
    elif isinstance(value, list):
        for position, part in enumerate(value, 1):
            yield _from_object(f"{name}#{position}", part)
    else:
        yield _from_object(name, value)


def _where(error: ValueError) -> str:
    """Say what is wrong and where, without the text itself, which may be health data."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return str(error)


def _from_object(name: str, value: Any) -> Source:
    if not isinstance(value, dict):
        return Source(name, problem="should be an object with user_hash, data_type, data_id and payload")
    missing = {"user_hash", "data_type", "data_id", "payload"} - set(value)
    unknown = set(value) - _FIELDS
    if missing or unknown:
        parts = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        # Without their names, which may be somebody's data.
        parts += [f"has {len(unknown)} other fields than {', '.join(sorted(_FIELDS))}"] if unknown else []
        return Source(name, problem="; ".join(parts))
    try:
        return Source(name, _new_record(value))
    except InvalidRecordError as error:
        return Source(name, problem=str(error))
    except UnicodeEncodeError:
        return Source(name, problem="holds half of a surrogate pair, which is no text")


def _new_record(value: dict[str, Any]) -> NewRecord:
    recorded_at = value.get("recorded_at")
    try:
        moment = datetime.fromisoformat(recorded_at) if recorded_at is not None else None
    except (TypeError, ValueError):
        moment = None
    if recorded_at is not None and (moment is None or moment.tzinfo is None):
        raise InvalidRecordError("recorded_at", "recorded_at should be a time with its zone, as 2026-01-31T12:00:00Z")
    return NewRecord(
        user_hash=value["user_hash"],
        data_type=value["data_type"],
        data_id=value["data_id"],
        payload=json.dumps(value["payload"], separators=(",", ":"), ensure_ascii=False).encode(),
        schema_name=str(value.get("schema") or ""),
        recorded_at=moment,
        owner=value.get("owner"),
        priority=BULK,
    )
