"""What a partner gave back, in words: names that people know, and parts within parts under headings of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = {
    "amount": "Amount, in the token's smallest unit",
    "block": "Block",
    "dlp_id": "Data pool (DLP)",
    "etag": "ETag",
    "file_id": "File id",
    "index": "Number of the proof",
    "key": "Object key",
    "refiner_id": "Refiner",
    "score": "Score, of 10¹⁸",
    "sha256": "SHA-256 of the encrypted object",
    "status": "HTTP status",
    "tx_hash": "Transaction",
    "url": "Address",
    "webhook_id": "Message id",
}


def read_receipt(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of a receipt, its plain values first; nothing that is empty."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for path, value in _flatten(receipt, ()):
        parts.setdefault(" · ".join(path[:-1]), []).append(_line(path[-1], value))
    return [{"title": title, "lines": lines} for title, lines in sorted(parts.items(), key=lambda part: part[0] != "")]


def _flatten(value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, (*path, _say(name)))
        elif isinstance(inner, list) and any(isinstance(one, (Mapping, list)) for one in inner):
            numbered = {f"{name} {n}": one for n, one in enumerate(inner, start=1)}
            yield from _flatten(numbered, path)
        elif inner not in (None, "", []):
            yield (*path, name), inner


def _line(name: str, value: Any) -> dict[str, Any]:
    """Return one line; only web addresses become links."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    text = {True: "yes", False: "no"}[text] if isinstance(text, bool) else text
    is_link = isinstance(text, str) and text.startswith(("https://", "http://"))
    return {"name": _say(name), "value": text, "is_link": is_link}


def _say(name: str) -> str:
    known = _WORDS.get(name)
    return known or name.replace("_", " ").capitalize()
