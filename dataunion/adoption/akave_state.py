"""What the old service stored of a record at Akave, as what our adapter saves. Pure.

Both its entries may name the object: the one that Vana registered counts, since its URL stands on chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dataunion.adoption.fields import Reader
from dataunion.adoption.sides import Kind, Side, unfinished
from dataunion.state import Known, Status

_RECORD_KEY = "0x([0-9a-f]{64}|[0-9a-f]{130})"
LOST = "The old service stored this record, and its password is lost; a retry uploads it anew, beside the old object."
_URL = r"https?://[^\s/?#@]+/[^\s#]+"


@dataclass(frozen=True, kw_only=True)
class Old:
    """Both entries of a document, taken apart: `is_synced` is None where it cannot be told."""

    entry: Mapping[str, Any]
    is_synced: bool | None
    error_message: str
    retry_data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """The object that the record is at Akave; `record_key` is "" where nobody kept its password."""

    key: str
    url: str
    bucket: str
    record_key: str
    names: tuple[str, ...]  # every name it may have


def find_place(read: Reader, akave: Old, vana: Old, *, registered: bool) -> Place | None:
    """Return the object of a record, None where none was ever uploaded as far as is known."""
    found = [
        ("partners.akave", akave.entry, akave),
        ("partners.akave.retry_data.o3Response", _response(read, akave, "akave"), akave),
        ("partners.vana.retry_data.o3Response", _response(read, vana, "vana"), vana),
    ]
    if registered:
        found = [found[2], *found[:2]]
    pairs = [(_key(read, part, path), _url(read, part, path), old) for path, part, old in found]
    whole = [(key, url, old) for key, url, old in pairs if key and url]
    partial = [(key, url, old) for key, url, old in pairs if key]
    if not partial:
        return None
    key, url, old = whole[0] if whole else partial[0]
    other = vana if old is akave else akave
    return Place(
        key=key,
        url=url,
        bucket=_bucket(key, url),
        record_key=_signature(read, old, akave) or _signature(read, other, akave),
        names=tuple(dict.fromkeys([key, *(name for name, _, _ in partial)])),
    )


def _response(read: Reader, old: Old, name: str) -> Mapping[str, Any]:
    return read.mapping(old.retry_data.get("o3Response"), f"partners.{name}.retry_data.o3Response")


def _key(read: Reader, part: Mapping[str, Any], path: str) -> str:
    key = read.text(part.get("key"), f"{path}.key")
    if len(key.encode()) <= 1024:
        return key
    read.note(f"{path}.key is longer than a key can be")
    return ""


def _url(read: Reader, part: Mapping[str, Any], path: str) -> str:
    url = read.text(part.get("url"), f"{path}.url")
    if not url or (re.fullmatch(_URL, url) and len(url) <= 4096):
        return url
    read.note(f"{path}.url is no http(s) URL")
    return ""


def _signature(read: Reader, old: Old, akave: Old) -> str:
    path = f"partners.{'akave' if old is akave else 'vana'}.retry_data.signature"
    signature = read.text(old.retry_data.get("signature"), path)
    if not signature or re.fullmatch(_RECORD_KEY, signature):
        return signature
    read.note(f"{path} is not 0x and 130 hexadecimal digits")
    return ""


def _bucket(key: str, url: str) -> str:
    """Return the bucket that a URL names, in its path or in its host; "" where it names none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    path = unquote(parts.path)
    if not url or not path.endswith(f"/{key}"):
        return ""
    before = path.removesuffix(f"/{key}").rpartition("/")[2]
    return before or parts.netloc.partition(".")[0]


def read_akave(read: Reader, old: Old, place: Place | None) -> Side:
    """Return what is known of Akave's part of the record."""
    saved = _save(place)
    if old.is_synced:
        if place is None:
            read.note("partners.akave.is_synced is true, and key and url are missing")
        receipt = {name: saved[name] for name in ("key", "url") if saved.get(name)}
        refs = [("object_key", place.key)] if place else []
        return Side(kind=Kind.SYNCED, known=Known(status=Status.DONE, receipt=receipt, saved=saved, refs=refs))
    if place is None or not place.record_key:
        if place is not None:
            read.note("retry_data.signature is missing, without which the object at Akave cannot be opened")
            return unfinished(old.error_message or LOST)
        return unfinished(old.error_message)
    known = Known(error_message=old.error_message or None, saved={**saved, "adopted": True})
    return Side(kind=Kind.HALF_DONE, known=known)


def _save(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    known = {"record_key": place.record_key, "bucket": place.bucket, "key": place.key, "url": place.url}
    return {**{name: value for name, value in known.items() if value}, "names": list(place.names)}
