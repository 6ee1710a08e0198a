"""Data that stays in a MongoDB collection of somebody else's, one document a record. Only read, never written."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pymongo
from bson import CodecOptions, DatetimeConversion, UuidRepresentation
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from dataunion.conf import conf
from dataunion.loaders.base import Loaded, Loader, LoaderError, Reference, StoreAwayError
from dataunion.loaders.documents import write_document
from partners.requirements import Option, Secret

_ANSWER_S = 10.0  # for all of one question
# A date that Python lacks, or bytes that are no text, are that document's trouble and not the whole answer's.
CODEC = CodecOptions[dict[str, Any]](
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="surrogateescape",
    uuid_representation=UuidRepresentation.STANDARD,
)
FIELD = r"[^$.\x00][^.\x00]*"


class MongoLoader(Loader):
    """Finds a record's document by `id_field` (and `user_field`, where ids are unique for each user only)."""

    options: ClassVar[tuple[Option, ...]] = (
        Secret(
            name="uri",
            holds="mongodb://host/database, of an account that may only read",
            pattern=r"mongodb(\+srv)?://[^/]+/[^/?]+(\?.*)?",
        ),
        Option(name="collection", holds="the collection's name", pattern=r"[^$\x00]+"),
        Option(name="id_field", holds="the top field that holds the data_id, with an index", pattern=FIELD),
        Option(
            name="user_field",
            holds="the top field that holds the user hash; empty where ids are unique by themselves",
            default="",
            pattern=FIELD,
        ),
        Option(name="schema", holds="the schema's name of every document", default="", pattern=r".{1,100}"),
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._opening = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None

    def load(self, references: Sequence[Reference]) -> Mapping[Reference, Loaded | LoaderError]:
        """Ask for all of them at once."""
        wanted = {self._key(reference.user_hash, reference.data_id): reference for reference in references}
        found: dict[Reference, Loaded | LoaderError] = {}
        try:
            # It ends while the worker's lease still holds.
            with pymongo.timeout(min(_ANSWER_S, conf().sync_lease_s / 3)):
                for document in self._collection().find(self._query(references)):
                    reference = self._find_reference(document, wanted)
                    if reference is not None:
                        found[reference] = _ambiguous() if reference in found else self._read(document)
        except PyMongoError as error:
            raise StoreAwayError(type(error).__name__) from error
        return found

    def close(self) -> None:
        """Close the client, if one was opened."""
        with self._opening:
            client, self._client = self._client, None
        if client:
            client.close()

    @property
    def _id_field(self) -> str:
        return self.config["id_field"]

    def _key(self, user: object, data_id: object) -> tuple[object, object]:
        return (user if self.config["user_field"] else None, data_id)

    def _find_reference(
        self, document: Mapping[str, Any], wanted: Mapping[tuple[object, object], Reference]
    ) -> Reference | None:
        """Return whose document this is; None for another user's, and for one whose id is a list that holds it."""
        user, data_id = document.get(self.config["user_field"]), document.get(self._id_field)
        if not isinstance(data_id, str) or (self.config["user_field"] and not isinstance(user, str)):
            return None
        return wanted.get(self._key(user, data_id))

    def _query(self, references: Sequence[Reference]) -> dict[str, Any]:
        query: dict[str, Any] = {self._id_field: {"$in": sorted({reference.data_id for reference in references})}}
        if self.config["user_field"]:
            query[self.config["user_field"]] = {"$in": sorted({reference.user_hash for reference in references})}
        return query

    def _read(self, document: Mapping[str, Any]) -> Loaded | LoaderError:
        try:
            return Loaded(payload=write_document(document), schema_name=self.config["schema"])
        except LoaderError as error:
            return error

    def _collection(self) -> Collection[dict[str, Any]]:
        """Return the collection; the client is made when first needed, so that a fork never shares one."""
        with self._opening:
            if self._client is None:
                self._client = MongoClient(self.config["uri"], appname="dataunion-loader")
            # Of the primary, or what was seen a moment ago might not be there on another node.
            return self._client.get_default_database()[self.config["collection"]].with_options(codec_options=CODEC)


def _ambiguous() -> LoaderError:
    return LoaderError("the store holds more than one document for it; keep one")
