"""An old Mongoose deployment in every state, damaged ones included, made from a seed; and what is to come of it.

`fill` writes it to a MongoDB, `photograph` says whether anything there has changed since.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from tests.mongodb import serve

DATABASE = "old_service"
BEGAN = datetime(2024, 3, 1, tzinfo=UTC)
FLAGS = ("file_registered", "contribution_proof_requested", "tee_proof_submitted", "data_refined", "reward_claimed")
MARKER = "PLANTED-OLD-DATA"
ERROR = "Request failed with status code 503"
S, H, F, N = "synced", "half done", "failed", "not begun"
Document = dict[str, Any]


class Maker:
    """Makes documents from a seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.number = 0

    def hex(self, size: int) -> str:
        return self.draw.randbytes(size).hex()

    def object_id(self) -> ObjectId:
        """Return a key that grows, as the old service's did."""
        return ObjectId(f"{0x65E00000 + self.number:08x}{self.hex(8)}")

    def signature(self) -> str:
        return "0x" + self.hex(65)

    def place(self) -> Document:
        """Return an object's key and the presigned URL that was registered."""
        key = f"data-{1709251200000 + self.number}-{self.hex(4)}.enc"
        query = f"X-Amz-Expires=604800&X-Amz-Signature={self.hex(32)}"
        return {"key": key, "url": f"https://o3-rc2.akave.xyz/health/{key}?{query}"}

    def vana_state(self, flags: int) -> Document:
        """Return a vanaState of which so many steps are done."""
        state: Document = {name: n < flags for n, name in enumerate(FLAGS)}
        fixed = {"fixed_iv": self.hex(16), "fixed_ephemeral_key": "0x" + "5" + self.hex(32)[1:]}
        return {"fileId": self.number + 1 if flags else None, **fixed, **state, "status": "pending"}

    def record(self) -> tuple[Document, Document]:
        """Return a record that both partners have, and its payload's document."""
        self.number += 1
        data_type = self.draw.choice(["health", "checkin"])
        at = BEGAN + timedelta(minutes=self.number)
        data_id = f"{data_type}-{self.number:06d}"
        signature, place = self.signature(), self.place()
        record = {
            "_id": self.object_id(),
            "schema_version": "v1",
            "user_hash": hashlib.sha256(b"user %d" % (self.number % 400)).hexdigest(),
            "data_type": data_type,
            "data_id": data_id,
            "partners": {
                "akave": {"is_synced": True, "error_message": None, "retry_data": {"signature": signature}, **place},
                "vana": {"is_synced": True, "error_message": None, "retry_data": None, "file_id": self.number},
            },
            "createdAt": at,
            "updatedAt": at + timedelta(seconds=30),
            "__v": 0,
        }
        payload = {
            "_id": self.object_id(),
            {"health": "healthDataId", "checkin": "checkinId"}[data_type]: data_id,
            "note": f"{MARKER} é {self.number}",
            "steps": Int64(self.draw.randrange(30_000)),
            "weight": Decimal128("71.30"),
            "pulse": [61, 62.5, 64.0],
            "device": ObjectId(self.hex(12)),
            "at": at,
            "__v": 0,
        }
        return record, payload


Change = Callable[[Maker, Document, Document], None]


@dataclass(frozen=True)
class State:
    """One state: how a healthy record gets there, how it is counted, and how much of it cannot be read."""

    change: Change
    akave: str = S
    vana: str = S
    problems: int = 0
    left_out: bool = False
    payloads: int = 1


def _nothing(make: Maker, record: Document, payload: Document) -> None:
    """Leave it as it is."""


def _partners(akave: Document | None = None, vana: Document | None = None) -> Change:
    def change(make: Maker, record: Document, payload: Document) -> None:
        record["partners"]["akave"].update(akave or {})
        record["partners"]["vana"].update(vana or {})

    return change


def _unsynced(akave: str = "", vana: str | None = None) -> Change:
    """Leave both undone, with these errors; of Akave's object nothing is known."""

    def change(make: Maker, record: Document, payload: Document) -> None:
        for name, error in (("akave", akave), ("vana", vana)):
            record["partners"][name] = {"is_synced": False, "error_message": error or None, "retry_data": None}

    return change


def _half_done(flags: int, *, akave_is_synced: bool = True) -> Change:
    """Leave Vana's part after so many steps, as the old queue did; its retry data hold the object as well."""

    def change(make: Maker, record: Document, payload: Document) -> None:
        akave = record["partners"]["akave"]
        place = {name: akave[name] for name in ("key", "url")}
        known = {**akave["retry_data"], "o3Response": place, "vanaState": make.vana_state(flags)}
        record["partners"]["vana"] = {"is_synced": False, "error_message": ERROR, "retry_data": known}
        if not akave_is_synced:
            akave.update(is_synced=False, error_message=ERROR)

    return change


def _set(name: str, value: Any) -> Change:
    return lambda make, record, payload: record.__setitem__(name, value)


def _without(name: str) -> Change:
    return lambda make, record, payload: record.__delitem__(name)


def _in_vana(**values: Any) -> Change:
    """Leave Vana's part half done with these values in its vanaState."""

    def change(make: Maker, record: Document, payload: Document) -> None:
        _half_done(2)(make, record, payload)
        record["partners"]["vana"]["retry_data"]["vanaState"].update(values)

    return change


def _payload(name: str, value: Any) -> Change:
    return lambda make, record, payload: payload.__setitem__(name, value)


def _text_retry_data(make: Maker, record: Document, payload: Document) -> None:
    record["partners"]["akave"]["retry_data"] = f'{{"signature": "{make.signature()}"}}'


SOUND = {
    "synced": State(_nothing),
    "new": State(_unsynced(), N, N),
    "failed at akave": State(_unsynced(ERROR, None), F, N),
    "failed at both": State(_unsynced(ERROR, ERROR), F, F),
    "stored": State(_partners(vana={"is_synced": False, "file_id": None}), S, N),
    "failed at vana": State(_partners(vana={"is_synced": False, "error_message": ERROR, "file_id": None}), S, F),
    "overwritten": State(_partners({"is_synced": False, "error_message": ERROR}), H, S),
    "overwritten and half done": State(_half_done(1, akave_is_synced=False), H, H),
    **{f"half done after {n}": State(_half_done(n), S, H) for n in range(6)},
    "retry data as text": State(_text_retry_data),
    "file id as text": State(_partners(vana={"file_id": "77"})),
    "another spelling of times": State(
        lambda make, record, payload: record.update(created_at=record.pop("createdAt"), updated_at="2024-03-01")
    ),
}
LEFT_OUT = {
    "no user_hash": State(_without("user_hash"), left_out=True, problems=1),
    "user_hash null": State(_set("user_hash", None), left_out=True, problems=1),
    "user_hash a number": State(_set("user_hash", 7), left_out=True, problems=1),
    "user_hash an address": State(_set("user_hash", f"{MARKER}@example.com"), left_out=True, problems=1),
    "no data_type": State(_without("data_type"), left_out=True, problems=1),
    "strange data_type": State(_set("data_type", MARKER), left_out=True, problems=1),
    "no data_id": State(_without("data_id"), left_out=True, problems=1),
    "data_id a number": State(_set("data_id", 12.0), left_out=True, problems=1),
    "data_id an object": State(_set("data_id", {"$x": 1}), left_out=True, problems=1),
    "nothing at all": State(
        lambda make, record, payload: [record.pop(name) for name in list(record) if name != "_id"] and None,
        left_out=True,
        problems=1,
    ),
}
DAMAGED = {
    "partners null": State(_set("partners", None), N, N, 1),
    "no partners": State(_without("partners"), N, N, 1),
    "partners a list": State(_set("partners", [1]), N, N, 1),
    "no vana": State(lambda make, record, payload: record["partners"].pop("vana"), S, N, 1),
    "vana null": State(lambda make, record, payload: record["partners"].update(vana=None), S, N, 1),
    "vana a number": State(lambda make, record, payload: record["partners"].update(vana=3), S, F, 1),
    "another partner": State(lambda make, record, payload: record["partners"].update(filecoin={}), problems=1),
    "is_synced as text": State(_partners(vana={"is_synced": "true"}), problems=1),
    "is_synced as text false": State(_partners(vana={"is_synced": "false", "file_id": None}), S, N, 1),
    "is_synced an object": State(_partners(vana={"is_synced": {}, "file_id": None}), S, F, 1),
    "is_synced missing": State(lambda make, record, payload: record["partners"]["vana"].pop("is_synced"), S, H, 1),
    "error an object": State(_partners(vana={"error_message": {"code": MARKER}}), problems=1),
    "retry data a number": State(_partners(vana={"retry_data": 5}), problems=1),
    "vanaState a list": State(
        _partners(vana={"is_synced": False, "file_id": None, "retry_data": {"vanaState": []}}), S, N, 1
    ),
    "iv too short": State(_in_vana(fixed_iv="0102"), S, H, 1),
    "key beyond the curve": State(_in_vana(fixed_ephemeral_key="ff" * 32), S, H, 1),
    "flags as text": State(_in_vana(file_registered="true", data_refined="no idea"), S, H, 2),
    "file id of no kind": State(_partners(vana={"file_id": [1]}), problems=2),
    "synced without file id": State(_partners(vana={"file_id": None}), problems=1),
    "synced without place": State(_partners({"key": None, "url": None}, {}), problems=1),
    "a url that is none": State(_partners({"url": "javascript:1"}), problems=1),
    "registered without url": State(_partners({"url": None}, {"is_synced": False}), S, F, 1),
    "no signature": State(_partners({"is_synced": False, "retry_data": None}), F, S, 1),
    "signature a number": State(_partners({"retry_data": {"signature": 1}}), problems=1),
    "made in the future": State(_set("createdAt", datetime(2999, 1, 1, tzinfo=UTC)), problems=1),
    "no payload": State(_nothing, problems=1, payloads=0),
    "two payloads": State(_nothing, problems=1, payloads=2),
    "another's payload": State(_payload("user_hash", "somebody"), problems=1),
    "payload with no number": State(_payload("steps", float("nan")), problems=1),
}
TWICE = "the same reference again"  # the second document knows less


@dataclass
class Expected:
    """What is to come of a deployment."""

    documents: int = 0
    records: int = 0
    left_out: int = 0
    problems: int = 0
    payloads: int = 0
    sides: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, state: State) -> None:
        self.documents += 1
        self.states[name] += 1
        self.problems += state.problems
        if state.left_out:
            self.left_out += 1
            return
        self.records += 1
        self.payloads += state.payloads == 1 and not (state.problems and state in PAYLOAD_PROBLEMS)
        self.sides.update([("akave", state.akave), ("vana", state.vana)])


PAYLOAD_PROBLEMS = [
    DAMAGED[name] for name in ("no payload", "two payloads", "another's payload", "payload with no number")
]


def fill(uri: str, *, count: int = 5000, seed: int = 20261128) -> Expected:
    """Write so many documents of every state; return what is to come of them."""
    make, expected = Maker(seed), Expected()
    everything = {**SOUND, **LEFT_OUT, **DAMAGED}
    records: list[Document] = []
    payloads: dict[str, list[Document]] = {"health": [], "checkin": []}
    while len(records) < count:
        n = len(records)
        names = list(everything if n < 2 * len(everything) or make.draw.random() < 0.2 else SOUND)
        name = names[n % len(names)]
        record, payload = make.record()
        data_type, state = record["data_type"], everything[name]
        state.change(make, record, payload)
        records.append(record)
        expected.add(name, state)
        payloads[data_type] += [payload | {"_id": make.object_id()} for _ in range(state.payloads)]
        if name == "synced" and n % 100 < 10 and len(records) < count:
            less = make.record()[0]
            _unsynced()(make, less, {})
            records.append(less | {k: record[k] for k in ("user_hash", "data_type", "data_id")})
            expected.add(TWICE, State(_nothing, left_out=True, problems=1))
    with _open(uri) as client:
        database = client.get_default_database()
        make.draw.shuffle(records)
        database["dataunions"].insert_many(records)
        database["dataunions"].create_index([("user_hash", 1), ("data_type", 1), ("data_id", 1)])
        for collection, field_, data_type in (
            ("healthdatas", "healthDataId", "health"),
            ("checkins", "checkinId", "checkin"),
        ):
            database[collection].insert_many(payloads[data_type])
            database[collection].create_index(field_)
    return expected


def insert(uri: str, **documents: list[Document]) -> None:
    """Put these documents, by collection, in place of what is there."""
    with _open(uri) as client:
        client.drop_database(client.get_default_database().name)
        for collection, rows in documents.items():
            client.get_default_database()[collection].insert_many(rows)


def photograph(uri: str) -> dict[str, str]:
    """Return a digest of every collection of every database there, its indexes and all its documents."""
    found = {}
    with _open(uri) as client:
        for name in client.list_database_names():
            database = client.get_database(name, CodecOptions(document_class=RawBSONDocument))
            for collection in database.list_collection_names():
                digest = hashlib.sha256(repr(sorted(client[name][collection].index_information().items())).encode())
                for document in sorted(row.raw for row in database[collection].find()):
                    digest.update(document)
                found[f"{name}.{collection}"] = digest.hexdigest()
    return found


@contextmanager
def serve_old() -> Iterator[str]:
    """Give the address of an old deployment's database, in which nothing is yet."""
    with serve() as url:
        uri = url.replace("/dataunion", f"/{DATABASE}")
        yield uri
        with _open(uri) as client:
            client.drop_database(DATABASE)


@contextmanager
def _open(uri: str) -> Iterator[MongoClient[Document]]:
    client: MongoClient[Document] = MongoClient(uri)
    try:
        yield client
    finally:
        client.close()
