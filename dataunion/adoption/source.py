"""The old database, read and never written: this is the only file of the room that knows pymongo.

What it hands out are documents and counts. It asks by find and aggregate alone, of the primary: another
node may lag behind, and would look as if nothing changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
from bson import ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, PyMongoError

RECORDS = "dataunions"
PAYLOADS = {"health": ("healthdatas", "healthDataId"), "checkin": ("checkins", "checkinId")}
_COLLECTIONS = (RECORDS, *(name for name, _ in PAYLOADS.values()))
_OURS = "django_migrations"
_ANSWER_MS = 20_000
_MOD_MS = 10**9  # keeps a sum over millions of documents exact
_PLAIN = CodecOptions[dict[str, Any]](
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)


def _milliseconds(field: str) -> dict[str, Any]:
    is_time = {"$eq": [{"$type": f"${field}"}, "date"]}
    return {"$sum": {"$cond": [is_time, {"$mod": [{"$toLong": f"${field}"}, _MOD_MS]}, 0]}}


_SUM = {
    "$group": {
        "_id": None,
        "a_count": {"$sum": 1},
        "updatedAt": _milliseconds("updatedAt"),
        "updated_at": _milliseconds("updated_at"),
    }
}
_RAW = CodecOptions[RawBSONDocument](document_class=RawBSONDocument)


class SourceError(Exception):
    """The old database cannot be read; the message says why and what to do, without its address."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A document as it was found; without `content` its bytes cannot be read."""

    name: str  # its _id, as people may see it
    content: Mapping[str, Any] | None


class Source:
    """An open old database. Every method raises SourceError."""

    def __init__(self, uri: str) -> None:
        patience: dict[str, Any] = (
            {} if "serverselectiontimeoutms" in uri.lower() else {"serverSelectionTimeoutMS": _ANSWER_MS}
        )
        try:
            self._client: MongoClient[RawBSONDocument] = MongoClient(
                uri,
                document_class=RawBSONDocument,
                appname="dataunion-adoption",
                retryWrites=False,
                **patience,
            )
        except (PyMongoError, ValueError):
            raise SourceError("the address is none of MongoDB: mongodb://user:password@host/database") from None
        try:
            self._database = self._client.get_default_database().with_options(codec_options=_RAW)
        except ConfigurationError:
            self._client.close()
            raise SourceError("the address names no database; end it with one: mongodb://host/database") from None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def check(self) -> None:
        """See that it is an old deployment's database, and not one of ours: the names of collections are alike."""
        with _telling():
            names = set(self._database.list_collection_names())
        if _OURS in names:
            raise SourceError("this is a database of DataUnion itself; name the old service's")
        if RECORDS not in names:
            raise SourceError(f"there is no collection {RECORDS} in it; is it the old service's database?")

    def read_state(self) -> Mapping[str, Any]:
        """Return what changes when somebody writes: of each collection the count, and the sum of its update times."""
        with _telling():
            return {name: self._read_state(name) for name in _COLLECTIONS}

    def _read_state(self, name: str) -> tuple[int, ...]:
        """Count, and add up the update times: so a change of any document shows, whatever the newest time says."""
        found = list(self._database[name].aggregate([_SUM]))
        return tuple(int(part) for key, part in sorted(found[0].items()) if key != "_id") if found else (0,)

    def read_references(self) -> Iterator[Mapping[str, Any]]:
        """Give user_hash, data_type and data_id of every document that can be read."""
        fields = {"_id": 0, "user_hash": 1, "data_type": 1, "data_id": 1}
        with _telling():
            for raw in self._database[RECORDS].find({}, fields):
                content = _decode(raw)
                if content is not None:
                    yield content

    def read_records(self, batch: int) -> Iterator[list[Found]]:
        """Give every document of `dataunions` in the order of its key."""
        held: list[Found] = []
        with _telling():
            for raw in self._database[RECORDS].find().sort("_id", 1).batch_size(batch):
                held.append(open_document(raw))
                if len(held) == batch:
                    yield held
                    held = []
        if held:
            yield held

    def read_payloads(self, data_type: str, data_ids: Collection[str]) -> dict[str, list[Found]]:
        """Return the documents of a type by the id that records know them by; there may be several for one."""
        collection, field = PAYLOADS[data_type]
        found: dict[str, list[Found]] = {}
        with _telling():
            for raw in self._database[collection].find({field: {"$in": list(data_ids)}}).sort("_id", 1):
                one = open_document(raw)
                data_id = (_lenient(raw) if one.content is None else one.content).get(field)
                found.setdefault(str(data_id), []).append(one)
        return found


@contextmanager
def _telling() -> Iterator[None]:
    """Turn what the driver raises into a sentence; its own text may hold the address with its password."""
    try:
        yield
    except PyMongoError as error:
        kind = type(error).__name__
        raise SourceError(f"the old database does not answer ({kind}); see to it and run this again") from None


def open_document(raw: RawBSONDocument) -> Found:
    """Return a document as it was found; one whose bytes are broken has a name at least."""
    content = _decode(raw)
    return Found(name=_show(_lenient(raw) if content is None else content), content=content)


def _decode(raw: RawBSONDocument) -> Mapping[str, Any] | None:
    try:
        return bson.decode(raw.raw, _PLAIN)
    except (BSONError, ValueError, OverflowError, RecursionError):
        return None


def _lenient(raw: RawBSONDocument) -> Mapping[str, Any]:
    """Return as much as can be had of a document: only to name it."""
    options = _PLAIN.with_options(unicode_decode_error_handler="replace")
    try:
        return bson.decode(raw.raw, options)
    except (BSONError, ValueError, OverflowError, RecursionError):
        return {}


def _show(document: Mapping[str, Any]) -> str:
    """Return a document's key as people may see it: no text that may be somebody's name."""
    key = document.get("_id")
    if isinstance(key, ObjectId | int | UUID | datetime):
        return str(key)
    if isinstance(key, bytes):
        return key.hex()[:64]
    if isinstance(key, str) and re.fullmatch("[A-Za-z0-9_-]{1,64}", key):
        return key
    return "whose _id cannot be shown"
