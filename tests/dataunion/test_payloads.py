"""Data that is kept elsewhere, on its way through the engine, and what protects it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from dataunion import vault
from dataunion.ingest import ConflictError, register_record
from dataunion.loaders.base import Loaded, LoaderError, StoreAwayError
from dataunion.models import DataUnion, HealthData, SyncAttempt, SyncJob
from dataunion.rotation import rotate
from dataunion.state import Status
from dataunion.sync import engine
from partners.base import Owner
from partners.errors import TransientError
from tests.dataunion.loaders.stores import SHELF, ShelfLoader
from tests.dataunion.work import hand_in, job_of, make_due, seconds_to, service

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def shelf(settings: Any) -> Iterator[dict[str, Loaded | LoaderError]]:
    """Keep health data on the shelf."""
    settings.LOADERS = SHELF
    ShelfLoader.reset()
    yield ShelfLoader.shelf
    ShelfLoader.reset()


def objects() -> list[bytes]:
    return list(service().objects.values())


def test_a_record_without_data_of_ours_is_sent_with_what_the_loader_finds(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"kept elsewhere", schema_name="steps", owner=Owner(address="0x" + "1" * 40))
    record = hand_in(payload=None)

    assert engine.push("akave") == 1

    assert objects() == [b"kept elsewhere"]
    assert DataUnion.objects.get().entry("akave").is_synced
    row = HealthData.objects.get()
    assert (row.pk, bytes(row.payload), row.size_bytes) == (record.pk, b"", 14)
    assert (row.digest, row.schema_name) == (vault.content_digest(b"kept elsewhere"), "steps")
    assert row.owner == {"address": "0x" + "1" * 40, "public_key": ""}


def test_its_work_is_due_at_once(shelf: dict[str, Any]) -> None:
    record = register_record(user_hash="u1", data_type="health", data_id="a").record

    assert seconds_to(job_of(record)) <= 0


def test_a_type_without_a_loader_waits_for_its_data() -> None:
    record = register_record(user_hash="u1", data_type="checkin", data_id="a").record

    assert seconds_to(job_of(record)) > 800


def test_data_that_is_not_there_yet_is_waited_for(shelf: dict[str, Any]) -> None:
    record = hand_in(payload=None)

    assert engine.push("akave") == 1
    job = job_of(record)
    assert (job.status, job.attempts) == (Status.PENDING, 0)

    shelf["a"] = Loaded(payload=b"late")
    make_due(record)
    engine.push("akave")
    assert objects() == [b"late"]


def test_data_that_was_handed_in_is_ours_whatever_the_loader_holds(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"theirs")
    hand_in(payload=b"ours")

    engine.push("akave")

    assert objects() == [b"ours"]


def test_data_that_changed_after_its_first_reading_is_never_sent(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"first")
    record = hand_in(payload=None)
    service().plan("keys", TransientError("akave: keys: busy"))
    engine.push("akave")
    shelf["a"] = Loaded(payload=b"second")
    make_due(record)

    engine.push("akave")

    job = job_of(record)
    assert objects() == []
    assert (job.status, job.error_class) == (Status.FAILED, "changed")
    assert "its data was changed where it is kept" in job.error_message
    assert "second" not in job.error_message


def test_a_store_that_is_away_spends_no_attempt_and_is_asked_again_soon(shelf: dict[str, Any], settings: Any) -> None:
    record = hand_in(payload=None)
    ShelfLoader.trouble.append(StoreAwayError("ServerSelectionTimeoutError"))

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.attempts, SyncAttempt.objects.count()) == (Status.PENDING, 0, 0)
    assert 25 < seconds_to(job) <= 30
    ShelfLoader.trouble.clear()
    settings.LOADERS = {**SHELF}  # another process, which knows of no trouble
    shelf["a"] = Loaded(payload=b"back")
    make_due(record)
    engine.push("akave")
    assert objects() == [b"back"]


def test_a_store_that_is_away_is_left_alone_for_a_while_and_told_once(
    shelf: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    hand_in("a", payload=None)
    ShelfLoader.trouble.append(StoreAwayError("AutoReconnect"))

    with caplog.at_level(logging.WARNING, logger="dataunion.payloads"):
        engine.push("akave")
        hand_in("b", payload=None)
        engine.push("akave")

    assert ShelfLoader.asked == 1
    assert [line.message for line in caplog.records if line.name == "dataunion.payloads"] == ["loader.away"]


def test_a_store_that_is_away_leaves_data_of_ours_alone(shelf: dict[str, Any]) -> None:
    hand_in("theirs", payload=None)
    hand_in("ours", payload=b"ours")
    ShelfLoader.trouble.append(StoreAwayError("AutoReconnect"))

    engine.push("akave")

    assert objects() == [b"ours"]


def test_a_bug_of_a_loader_ends_the_guilty_records_work_and_its_message_is_not_logged(
    shelf: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    guilty = hand_in("guilty", payload=None)
    hand_in("neighbour", payload=None)
    shelf["guilty"], shelf["neighbour"] = KeyError("pulse 61"), Loaded(payload=b"theirs")

    with caplog.at_level(logging.ERROR, logger="dataunion.payloads"):
        engine.push("akave")

    assert objects() == [b"theirs"]
    job = job_of(guilty)
    assert (job.status, job.error_message) == (
        Status.FAILED,
        "akave: its data cannot be used: its loader failed, KeyError",
    )
    [line] = [line for line in caplog.records if line.name == "dataunion.payloads"]
    assert line.message == "loader.bug"
    assert "pulse" not in str(vars(line))


@pytest.mark.parametrize("nonsense", [None, "text", Loaded(payload="text")])  # type: ignore[arg-type]
def test_what_a_loader_should_not_give_ends_its_records_work_only(shelf: dict[str, Any], nonsense: Any) -> None:
    record = hand_in("a", payload=None)
    hand_in("b", payload=b"ours")
    shelf["a"] = nonsense

    engine.push("akave")

    assert objects() == [b"ours"]
    assert job_of(record).error_message.endswith("the loader gave something else than bytes")


def test_taking_back_asks_no_store(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"theirs")
    record = hand_in(payload=None)
    SyncJob.objects.filter(record=record, partner="akave").update(kind="revoke")

    engine.push("akave")

    assert (ShelfLoader.asked, HealthData.objects.count()) == (0, 0)


def test_data_that_is_handed_in_after_it_was_lost_elsewhere_is_sent(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"theirs")
    record = hand_in(payload=None)
    service().plan("keys", TransientError("akave: keys: busy"))
    engine.push("akave")
    del shelf["a"]

    register_record(user_hash="u1", data_type="health", data_id="a", payload=b"theirs")

    assert vault.open_sealed(bytes(HealthData.objects.get().payload), "healthdata", record.pk) == b"theirs"
    make_due(record)
    engine.push("akave")
    assert objects() == [b"theirs"]


def test_data_that_cannot_be_used_fails_its_record_only(shelf: dict[str, Any]) -> None:
    shelf["a"] = LoaderError("field x holds a number that JSON has no form for")
    shelf["b"] = Loaded(payload=b"good")
    record = hand_in("a", payload=None)
    hand_in("b", payload=None)

    engine.push("akave")

    job = job_of(record)
    assert (job.status, job.error_class) == (Status.FAILED, "damaged")
    assert job.error_message.startswith("akave: its data cannot be used: field x holds a number")
    assert objects() == [b"good"]


def test_data_over_the_limit_is_refused(shelf: dict[str, Any], settings: Any) -> None:
    shelf["a"] = Loaded(payload=b"x" * 5_000_001)
    record = hand_in(payload=None)

    engine.push("akave")

    assert job_of(record).error_message == "akave: its data has 5000001 bytes; the limit is 5000000 bytes"


def test_handing_in_other_data_for_it_is_a_conflict(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"theirs")
    hand_in(payload=None)
    engine.push("akave")

    with pytest.raises(ConflictError):
        register_record(user_hash="u1", data_type="health", data_id="a", payload=b"other")
    same = register_record(user_hash="u1", data_type="health", data_id="a", payload=b"theirs")

    assert not same.created


def test_a_rotation_of_keys_passes_it_by(shelf: dict[str, Any]) -> None:
    shelf["a"] = Loaded(payload=b"theirs")
    hand_in(payload=None)
    engine.push("akave")

    problems = [problem for tally in rotate() for problem in tally.problems]

    assert problems == []
    assert bytes(HealthData.objects.get().payload) == b""
