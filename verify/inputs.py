"""What went in: each document of the input by name and digest, never by content.

A JSON file is one document, compared byte for byte. A line of an NDJSON file is one, compared as a JSON value. Of an
envelope (an object that says user, type and id, alone, in a list or on a line) the `payload` is the document.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVELOPE = frozenset({"user_hash", "data_type", "data_id", "payload"})
NO_JSON = object()
SUFFIXES = (".json", ".ndjson", ".jsonl")


class InputError(Exception):
    """The input cannot be read (exit 2)."""


@dataclass(frozen=True)
class Content:
    """What a document says: the SHA-256 of its bytes, and that of its JSON value (empty when it is not JSON)."""

    by_bytes: str
    by_value: str


@dataclass(frozen=True)
class Document:
    """One document of the input."""

    name: str
    content: Content
    is_exact: bool  # compared by bytes, not by value
    reference: str = ""  # of an envelope: the same reference with the same content again is the same record


def digest(content: bytes) -> Content:
    """Return both digests of a document."""
    value = _parse(content)
    return Content(hashlib.sha256(content).hexdigest(), "" if value is NO_JSON else _digest_value(value))


def _digest_value(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_inputs(paths: Iterable[Path], include: str = "*") -> list[Document]:
    """Return the documents of all `paths`; `include` filters files of folders by relative path (`*` spans folders)."""
    documents: list[Document] = []
    seen: set[tuple[str, Content]] = set()
    for path in paths:
        try:
            for document in _read(path, include):
                handed_in = (document.reference, document.content)
                if not document.reference or handed_in not in seen:
                    documents.append(document)
                seen.add(handed_in)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return documents


def _read(path: Path, include: str) -> Iterator[Document]:
    if not path.is_dir():
        yield from _read_file(path, path.name)
        return
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.suffix in SUFFIXES and file.is_file() and fnmatch.fnmatchcase(name, include):
            yield from _read_file(file, name)


def _read_file(path: Path, name: str) -> Iterator[Document]:
    raw = path.read_bytes()
    if path.suffix != ".json":
        for number, line in enumerate(raw.splitlines(), start=1):
            if line.strip():
                yield _read_line(f"{name}#{number}", line)
        return
    value = _parse(raw)
    values = value if isinstance(value, list) and value else [value]
    if not all(isinstance(part, dict) and part.keys() >= ENVELOPE for part in values):
        yield Document(name, digest(raw), is_exact=True)
    elif isinstance(value, list):
        yield from (_element(f"{name}#{number}", part) for number, part in enumerate(values, start=1))
    else:
        yield _element(name, value)


def _read_line(name: str, line: bytes) -> Document:
    value = _parse(line)
    return Document(name, digest(line), is_exact=True) if value is NO_JSON else _element(name, value)


def _parse(raw: bytes) -> Any:
    """Return the JSON value, or NO_JSON: nobody delivers such a document, so it will be found missing."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return NO_JSON


def _element(name: str, value: Any) -> Document:
    reference = ""
    if isinstance(value, dict) and value.keys() >= ENVELOPE:
        reference = "/".join(str(value[part]) for part in ("user_hash", "data_type", "data_id"))
        value = value["payload"]
    return Document(name, Content("", _digest_value(value)), is_exact=False, reference=reference)
