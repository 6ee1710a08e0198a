"""What went in: each document of the input by name and digest, never by content.

A file of a folder is one document, compared byte for byte. An element of an NDJSON file, or of a JSON list that is
named itself, is one document, compared as a JSON value; where it is an envelope, its `payload` is the document.
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
LINES = (".ndjson", ".jsonl")


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


def digest(content: bytes) -> Content:
    """Return both digests of a document."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return Content(hashlib.sha256(content).hexdigest(), "")
    return Content(hashlib.sha256(content).hexdigest(), _digest_value(value))


def _digest_value(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_inputs(paths: Iterable[Path], include: str = "*.json") -> list[Document]:
    """Return the documents of all `paths`; `include` filters files of folders by relative path (`*` spans folders)."""
    documents: list[Document] = []
    for path in paths:
        try:
            documents += _read_folder(path, include) if path.is_dir() else _read_named(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return documents


def _read_folder(folder: Path, include: str) -> Iterator[Document]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and fnmatch.fnmatchcase(name, include):
            yield from _read_lines(path, name) if path.suffix in LINES else [_whole(path, name)]


def _read_named(path: Path) -> Iterator[Document]:
    if path.suffix in LINES:
        yield from _read_lines(path, path.name)
        return
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is not JSON") from None
    if not isinstance(values, list):
        yield _whole(path, path.name)
        return
    for at, value in enumerate(values):
        yield _element(f"{path.name}[{at}]", value)


def _read_lines(path: Path, name: str) -> Iterator[Document]:
    for at, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                yield _element(f"{name}:{at}", json.loads(line))
            except ValueError:
                raise InputError(f"{path} line {at} is not JSON") from None


def _whole(path: Path, name: str) -> Document:
    return Document(name, digest(path.read_bytes()), is_exact=True)


def _element(name: str, value: Any) -> Document:
    if isinstance(value, dict) and value.keys() >= ENVELOPE:
        value = value["payload"]
    return Document(name, Content("", _digest_value(value)), is_exact=False)
