"""The loader of a MongoDB collection, against a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import bson
import pytest
from bson import DatetimeMS
from pymongo import MongoClient

from dataunion.loaders.base import Loaded, LoaderConfigError, LoaderError, Reference, StoreAwayError
from dataunion.loaders.documents import write_document
from dataunion.loaders.mongodb import CODEC, MongoLoader
from tests.dataunion.work import settings_of
from tests.mongodb import serve


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve() as url:
        yield url.replace("/dataunion?", "/old?")


@pytest.fixture
def collection(server: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server) as client:
        client["old"].drop_collection("healthdatas")
        yield client["old"]["healthdatas"]


def load(uri: str, *references: Reference, **options: str) -> Mapping[Reference, Loaded | LoaderError]:
    loader = MongoLoader({"uri": uri, "collection": "healthdatas", "id_field": "healthDataId", **options})
    try:
        return loader.load(references)
    finally:
        loader.close()


def ref(data_id: str, user: str = "u1") -> Reference:
    return Reference(user, data_id)


def test_it_finds_what_is_there_and_leaves_out_the_rest(server: str, collection: Any) -> None:
    collection.insert_many([{"healthDataId": "a", "steps": 1}, {"healthDataId": "b", "steps": 2}])

    found = load(server, ref("a"), ref("c"), schema="steps")

    assert found == {ref("a"): Loaded(payload=b'{"healthDataId":"a","steps":1}', schema_name="steps")}


def test_without_a_user_field_the_id_is_enough(server: str, collection: Any) -> None:
    collection.insert_one({"healthDataId": "a", "user": "u2"})

    assert set(load(server, ref("a", "u1"))) == {ref("a", "u1")}


def test_with_a_user_field_each_user_has_ids_of_their_own(server: str, collection: Any) -> None:
    collection.insert_many([{"healthDataId": "a", "user": user} for user in ("u1", "u2", "u3")])

    found = load(server, ref("a", "u1"), ref("a", "u2"), ref("b", "u3"), user_field="user")

    assert found == {
        ref("a", "u1"): Loaded(payload=b'{"healthDataId":"a","user":"u1"}'),
        ref("a", "u2"): Loaded(payload=b'{"healthDataId":"a","user":"u2"}'),
    }


def test_two_documents_of_one_record_are_told_and_neither_is_taken(server: str, collection: Any) -> None:
    collection.insert_many([{"healthDataId": "a", "steps": n} for n in (1, 2)])

    found = load(server, ref("a"))

    assert isinstance(found[ref("a")], LoaderError)
    assert str(found[ref("a")]) == "the store holds more than one document for it; keep one"


def test_one_document_that_cannot_be_read_leaves_the_others(server: str, collection: Any) -> None:
    collection.insert_many([{"healthDataId": "a", "x": float("nan")}, {"healthDataId": "b"}])

    found = load(server, ref("a"), ref("b"))

    assert isinstance(found[ref("a")], LoaderError)
    assert found[ref("b")] == Loaded(payload=b'{"healthDataId":"b"}')


def test_the_store_is_only_read(server: str, collection: Any) -> None:
    collection.insert_one({"_id": 1, "healthDataId": "a"})

    load(server, ref("a"), ref("b"))

    assert list(collection.find()) == [{"_id": 1, "healthDataId": "a"}]
    assert collection.database.list_collection_names() == ["healthdatas"]


def test_a_server_that_is_away_is_told_by_the_kind_of_trouble() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"mongodb://someone:hidden@127.0.0.1:{unused.getsockname()[1]}/old"

        with settings_of(sync_lease_s=3.0), pytest.raises(StoreAwayError) as caught:
            load(uri, ref("a"))

    assert "hidden" not in str(caught.value)
    assert str(caught.value) == "ServerSelectionTimeoutError"


def test_a_server_that_keeps_silent_is_left_within_a_third_of_the_lease() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()

        with settings_of(sync_lease_s=6.0), pytest.raises(StoreAwayError):
            load(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/old", ref("a"))

    assert time.monotonic() - began < 6


def test_an_id_that_is_a_list_is_nobodys_document(server: str, collection: Any) -> None:
    collection.insert_many([{"healthDataId": ["a", "b"]}, {"healthDataId": "b"}])

    assert set(load(server, ref("a"), ref("b"))) == {ref("b")}


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (bson.encode({"note": "xx"}).replace(b"xx", b"\xff\xfe"), "a text in it is no Unicode"),
        (bson.encode({"at": DatetimeMS(2**52)}), "field at holds a time outside the years 1 to 9999"),
    ],
)
def test_what_python_cannot_hold_is_its_own_documents_trouble(stored: bytes, why: str) -> None:
    with pytest.raises(LoaderError) as caught:  # SecantusDB stores no such thing, so that what is read stands here
        write_document(bson.decode(stored, CODEC))

    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": ""}, "uri is not set; it should hold mongodb://host/database"),
        ({"uri": "mongodb://127.0.0.1/"}, "uri cannot be its value; it should hold mongodb://host/database"),
        ({"uri": "mongodb://127.0.0.1/?a=b/c"}, "uri cannot be its value; it should hold mongodb://host/database"),
        ({"id_field": ""}, "id_field is not set; it should hold the top field that holds the data_id"),
        ({"id_field": "a.b"}, "id_field cannot be 'a.b'; it should hold the top field that holds the data_id"),
        ({"filter": "x"}, "filter is not an option"),
    ],
)
def test_a_wrong_option_is_told_by_what_it_should_hold(options: dict[str, str], said: str) -> None:
    with pytest.raises(LoaderConfigError) as caught:
        MongoLoader(
            {"uri": "mongodb://127.0.0.1/old", "collection": "healthdatas", "id_field": "healthDataId", **options}
        )

    assert str(caught.value).startswith(said)
