"""adopt_mongoose: what it refuses, what it says, and that a source which still changes is not adopted unawares."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from django.core.management import CommandError, call_command
from pymongo import MongoClient

from dataunion.adoption.adopt import RISK, Adoption
from dataunion.adoption.report import Report
from dataunion.adoption.source import Found, Source, open_document
from dataunion.models import DataUnion, HealthData, SyncJob
from tests.dataunion.adoption.command import adopt
from tests.dataunion.adoption.old_deployment import Maker, insert, photograph
from tests.dataunion.work import set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old(uri: str) -> dict[str, Any]:
    """Put one sound record and its payload there; return the record's document."""
    made = (Maker(seed).record() for seed in itertools.count())
    record, payload = next(one for one in made if one[0]["data_type"] == "health")
    insert(uri, dataunions=[record], healthdatas=[payload], checkins=[{"checkinId": "none"}])
    return record


def write(uri: str, act: Callable[[Any], Any]) -> Any:
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    try:
        return act(client.get_default_database())
    finally:
        client.close()


def test_all_that_is_sound_ends_well(uri: str, old: dict[str, Any]) -> None:
    status, out, err = adopt(uri)

    assert status == 0
    assert out.splitlines() == [
        "1 documents: 1 records came in, 0 are already here, 0 are left out.",
        "akave: 1 synced, 0 half done, 0 failed, 0 not begun.",
        "vana: 1 synced, 0 half done, 0 failed, 0 not begun.",
        "health: 1 payloads of new records found, 0 not.",
    ]
    assert err.startswith(
        "Stopping it at any time is safe: what came in stays, and the next run goes on with the rest."
    )
    record = DataUnion.objects.get()
    assert (record.user_hash, record.data_id, record.created_at) == (old["user_hash"], old["data_id"], old["createdAt"])
    assert not SyncJob.objects.exists()
    assert HealthData.objects.get().pk == record.pk


def test_a_record_that_is_here_already_is_left_alone(uri: str, old: dict[str, Any]) -> None:
    mine = DataUnion.create_data_union(user_hash=old["user_hash"], data_type="health", data_id=old["data_id"])

    status, out, _ = adopt(uri)

    assert (status, DataUnion.objects.get().partners) == (0, mine.partners)
    assert out.startswith("1 documents: 0 records came in, 1 are already here, 0 are left out.")
    assert not HealthData.objects.exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1/old", "the address is none of MongoDB: mongodb://user:password@host/database"),
        ("mongodb://127.0.0.1:1", "the address names no database; end it with one: mongodb://host/database"),
    ],
)
def test_a_wrong_address_is_refused_without_being_told(address: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        adopt(address)

    assert str(refused.value) == f"Nothing was read: {message}."


def test_a_database_that_does_not_answer_is_told_without_its_address() -> None:
    with pytest.raises(CommandError) as refused:
        adopt("mongodb://user:secret@127.0.0.1:1/old?serverSelectionTimeoutMS=200")

    assert (
        str(refused.value)
        == "The old database does not answer (ServerSelectionTimeoutError); see to it and run this again"
    )


def test_a_database_without_records_is_refused(uri: str) -> None:
    insert(uri, others=[{"a": 1}])

    with pytest.raises(
        CommandError, match="There is no collection dataunions in it; is it the old service's database?"
    ):
        adopt(uri)


def test_a_database_of_our_own_is_refused(uri: str, old: dict[str, Any]) -> None:
    write(uri, lambda database: database["django_migrations"].insert_one({"app": "dataunion"}))

    with pytest.raises(CommandError, match="This is a database of DataUnion itself; name the old service's"):
        adopt(uri)


def test_the_address_may_stand_in_a_file(uri: str, old: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "uri").write_text(f"{uri}\n")

    call_command(
        "adopt_mongoose", "--uri-file", str(tmp_path / "uri"), "--watch", "0", stdout=StringIO(), stderr=StringIO()
    )

    assert DataUnion.objects.count() == 1


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--uri-file cannot be read: No such file or directory."):
        call_command("adopt_mongoose", "--uri-file", str(tmp_path / "none"), stdout=StringIO(), stderr=StringIO())


# --- a source that changes


@contextmanager
def changing(uri: str) -> Iterator[None]:
    """Be an old worker that goes on: it touches a document every few milliseconds."""
    over = threading.Event()

    def work(database: Any) -> None:
        while not over.wait(0.02):
            database["dataunions"].update_many({}, {"$currentDate": {"updatedAt": True}})

    worker = threading.Thread(target=write, args=(uri, work))
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def test_a_source_that_changes_is_refused_before_anything_comes_in(uri: str, old: dict[str, Any]) -> None:
    with changing(uri), pytest.raises(CommandError) as refused:
        adopt(uri, watch="0.3")

    assert str(refused.value) == (
        "The old database is still written to: dataunions changed within 0.3 seconds. Stop the old service's queue and "
        "workers, then run this again."
    )
    assert not DataUnion.objects.exists()


def test_by_force_it_is_read_all_the_same_and_the_risk_is_told(uri: str, old: dict[str, Any]) -> None:
    with changing(uri):
        status, _, err = adopt(uri, "--force", watch="0.3")

    assert (status, DataUnion.objects.count()) == (0, 1)
    assert RISK in err
    assert "dataunions changed within 0.3 seconds." in err


def test_a_change_while_it_is_read_is_found_at_the_end(uri: str, old: dict[str, Any]) -> None:
    late = Maker(9).record()[0]
    source, lines = Source(uri), list[str]()
    run = Adoption(source, Report(lines.append), watch_s=0)
    reading = source.read_records

    def read(batch: int) -> Iterator[Any]:
        yield from reading(batch)
        write(uri, lambda database: database["dataunions"].insert_one(late))

    source.read_records = read  # type: ignore[method-assign]
    try:
        with pytest.raises(Exception, match="dataunions changed while it was read; what came in keeps the state"):
            run.run()
    finally:
        source.close()

    assert DataUnion.objects.count() == 1


# --- what is told


def test_progress_is_told_at_least_every_two_seconds(uri: str, old: dict[str, Any]) -> None:
    moments: list[float] = []
    source = Source(uri)
    try:
        Adoption(source, Report(lambda line: moments.append(time.monotonic())), watch_s=3.2).run()
    finally:
        source.close()

    assert len(moments) >= 3
    assert max(b - a for a, b in zip(moments, moments[1:], strict=False)) < 2


def test_a_document_whose_bytes_are_broken_has_a_name_at_least() -> None:
    raw = bson.encode({"_id": ObjectId("65e0000000000000000000aa"), "user_hash": "XXXX"})

    found = open_document(RawBSONDocument(raw.replace(b"XXXX", b"\xff\xfe\xff\xfe")))

    assert found == Found(name="65e0000000000000000000aa", content=None)


def test_a_document_whose_bytes_are_broken_is_told_and_passed(uri: str, old: dict[str, Any]) -> None:
    # As a driver with a fault writes it; SecantusDB takes none, so that it is put in on the way.
    source, lines = Source(uri), list[str]()
    run = Adoption(source, report := Report(lines.append), watch_s=0)
    reading = source.read_records
    source.read_records = lambda batch: [*reading(batch), [Found(name="7", content=None)]]  # type: ignore
    try:
        run.run()
    finally:
        source.close()

    assert "dataunions 7: its bytes are no valid BSON document; left out" in lines
    assert (report.read, report.created, report.left_out) == (2, 1, 1)


def test_a_key_that_may_be_a_name_is_not_shown(uri: str, old: dict[str, Any]) -> None:
    write(uri, lambda database: database["dataunions"].insert_many([{"_id": "Ann Other"}, {"_id": 7}, {"_id": b"ab"}]))

    _, _, err = adopt(uri)

    assert "Ann" not in err
    assert "dataunions whose _id cannot be shown: user_hash is missing" in err
    assert "dataunions 7: user_hash is missing" in err
    assert "dataunions 6162: user_hash is missing" in err


def test_of_documents_with_one_reference_the_one_that_says_most_comes_in(uri: str, old: dict[str, Any]) -> None:
    less = {**{k: old[k] for k in ("user_hash", "data_type", "data_id")}, "_id": 1, "partners": {}}
    write(uri, lambda database: database["dataunions"].insert_one(less))

    status, out, err = adopt(uri)

    assert status == 1
    assert DataUnion.objects.get().entry("vana").is_synced
    assert "it has the reference of another document, which says more or came first; left out" in out
    assert (
        f"dataunions 1: it has the reference of another document, which says more or came first; left out: {old['_id']}"
        in err
    )


def test_a_partner_that_is_off_here_takes_nothing_in(uri: str, old: dict[str, Any]) -> None:
    set_partner("vana", state="off")

    status, out, _ = adopt(uri)

    assert status == 1
    assert list(DataUnion.objects.get().partners) == ["akave"]
    assert "partners.vana is not taken in, since vana takes no health records here" in out


@pytest.mark.parametrize(("options", "records"), [((), 1), (("--dry-run",), 0)])
def test_a_payload_over_the_limit_stays_away_and_its_record_comes_in_with_its_state(
    uri: str, old: dict[str, Any], options: tuple[str, ...], records: int
) -> None:
    before = photograph(uri)

    with settings_of(ingest_max_payload_bytes=10):
        status, out, _ = adopt(uri, *options)

    assert status == 1
    assert "and the limit is 10; the record comes in without payload" in out
    assert [record.entry("akave").is_synced for record in DataUnion.objects.all()] == [True] * records
    assert not HealthData.objects.exists()
    assert photograph(uri) == before
