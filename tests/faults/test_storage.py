"""Akave's S3 in every kind of trouble: what stands in the rows, what it was asked, one object in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.conf import settings
from django.test import override_settings

from dataunion.clock import db_now
from dataunion.state import Status
from tests.faults import holes
from tests.faults.acts import job_of, only, peace_s, resume, row_of, set_options
from tests.faults.elapse import elapse
from tests.faults.union import Union
from tests.flows.house import eventually

MEGABYTE = 1 << 20


def holds_one_object_each(union: Union, number: int) -> bool:
    return len(union.sandboxes.stored_keys()) == number


def puts(union: Union) -> list[str]:
    """Return the faults with which each PUT was met, oldest first."""
    return [entry["fault"] for entry in union.sandboxes.storage_log() if entry["method"] == "PUT"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    with override_settings(DATAUNION=replace(settings.DATAUNION, sync_threads=1)):
        yield


# --- told to wait


def in_(days: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("said", "waits_s"),
    [
        ("7", 7),
        (lambda: in_(90 / 86400), 90),
        (lambda: in_(-1), 1),
        ("0", 1),
        ("315360000", 3600),
        (lambda: in_(3650), 3600),
        ("soon", 5),
        ("-5", 5),
        (" ", 5),
        ("2.5", 5),
        ("7\n9", 5),
    ],
    ids=["seconds", "date", "past", "zero", "ten-years", "far-date", "word", "negative", "empty", "float", "two"],
)
def test_a_partner_that_asks_for_time_gets_it(union: Union, said: str | Callable[[], str], waits_s: float) -> None:
    only("akave", "hook")
    records = [union.hand_in(str(number)) for number in range(3)]
    union.sandboxes.arm_s3("put_429", text=said if isinstance(said, str) else said())

    union.push("akave")

    assert puts(union) == ["put_429"]
    assert waits_s - 8 < peace_s("akave") <= waits_s
    assert sorted(union.outcomes(record, "akave") for record in records) == [[], [], ["limited"]]
    assert {job_of(record, "akave").attempts for record in records} == {0}
    union.tick()
    assert (union.push("akave"), puts(union)) == (0, ["put_429"])
    union.settle("hook")
    assert all(union.is_synced(record, "hook") for record in records)
    elapse(waits_s + 1)
    union.settle("akave")
    assert puts(union) == ["put_429", "", "", ""]
    union.check()


def test_a_busy_partner_that_names_a_time_costs_no_attempt_and_one_that_does_not_costs_one(union: Union) -> None:
    only("akave")
    record = union.hand_in()
    union.sandboxes.arm_s3("put_503_slowdown", text="30")
    union.sandboxes.arm_s3("put_503_slowdown", per_subject=2, text="when I can")

    union.push("akave")
    assert (job_of(record, "akave").attempts, 20 < peace_s("akave") <= 30) == (0, True)
    elapse(31)
    union.push("akave")

    assert (job_of(record, "akave").attempts, union.outcomes(record, "akave")) == (1, ["limited", "transient"])
    union.settle("akave")
    union.check()


# --- in trouble


def test_a_partner_in_trouble_is_tried_until_it_is_well(union: Union) -> None:
    only("akave")
    record = union.hand_in()
    for kind in ("put_500", "put_502", "put_503_slowdown"):
        union.sandboxes.arm_s3(kind)

    union.settle("akave")

    assert union.outcomes(record, "akave") == ["transient", "transient", "transient", "synced"]
    assert puts(union) == ["put_500", "put_502", "put_503_slowdown", ""]
    union.check()


def test_a_partner_that_fails_every_second_time_gets_everything_once(union: Union) -> None:
    only("akave")
    records = [union.hand_in(str(number)) for number in range(30)]
    union.sandboxes.arm_s3("put_500", times=1000, every=2, per_subject=4)

    union.settle("akave")

    assert all(union.is_synced(record, "akave") for record in records)
    assert holds_one_object_each(union, 30)
    assert (row_of("akave").breaker or {})["open_until"] is None
    union.check()


# --- no answer


@pytest.mark.parametrize(
    ("kind", "seconds", "stored"),
    [
        ("put_timeout", 20.0, False),
        ("put_hold", 20.0, True),
        ("put_lost_response", 0.0, True),
        ("put_reset", 0.0, False),
        ("one_byte_a_second", 0.2, True),
    ],
)
def test_an_upload_without_an_answer_is_unknown_and_made_sure_of(
    union: Union, kind: str, seconds: float, stored: bool
) -> None:
    only("akave")
    set_options("akave", read_timeout_s="0.5", deadline_s="1")
    record = union.hand_in()
    union.sandboxes.arm_s3(kind, seconds=seconds)
    started = time.monotonic()

    union.push("akave")

    assert time.monotonic() - started < 10
    job = job_of(record, "akave")
    assert (job.status, job.attempts, job.error_class) == (Status.RETRYING, 0, "unknown_outcome")
    assert (job.due_at - db_now()).total_seconds() <= 1
    assert holds_one_object_each(union, int(stored))
    union.settle("akave")
    assert union.outcomes(record, "akave") == ["unknown", "synced"]
    assert holds_one_object_each(union, 1)
    assert len({entry["key"] for entry in union.sandboxes.storage_log()}) == 1
    union.check()


NO_WAY: dict[str, tuple[Callable[[], AbstractContextManager[str]], str, str]] = {
    "refused": (holes.nobody, "transient", "cannot be connected to; nothing was sent"),
    "unnamed": (holes.no_name, "transient", "was not found by DNS; check the name in the URL"),
    "mute": (holes.black_hole, "unknown", "did not answer in time"),
    "self_signed": (holes.self_signed, "transient", "offers no TLS that we trust; nothing was sent"),
}


@pytest.mark.parametrize("way", NO_WAY)
def test_a_partner_that_is_not_reached_gets_everything_when_it_is(union: Union, way: str) -> None:
    hole, outcome, told = NO_WAY[way]
    only("akave")
    record = union.hand_in()
    with hole() as url:
        set_options("akave", endpoint_url=url, read_timeout_s="0.5")

        union.push("akave")

        assert union.outcomes(record, "akave") == [outcome]
        assert told in job_of(record, "akave").error_message
    set_options("akave", endpoint_url=union.sandboxes.s3.url)
    union.settle("akave")
    assert union.outcomes(record, "akave") == [outcome, "synced"]
    assert holds_one_object_each(union, 1)
    union.check()


def test_a_configuration_that_cannot_be_checked_costs_no_record_an_attempt(union: Union) -> None:
    only("akave")
    record = union.hand_in()
    with holes.nobody() as url:
        set_options("akave", endpoint_url=url, checked=False)

        assert union.push("akave") == 0

    assert (job_of(record, "akave").status, union.outcomes(record, "akave")) == (Status.PENDING, [])
    assert 0 < peace_s("akave") <= 5
    set_options("akave", endpoint_url=union.sandboxes.s3.url, checked=False)
    union.settle("akave")
    union.check()


# --- a wrong answer


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("html_200", ["transient", "synced"]),
        ("wrong_etag", ["synced"]),
        ("short_answer", ["transient", "synced"]),
    ],
)
def test_a_wrong_answer_is_no_success(union: Union, kind: str, expected: list[str]) -> None:
    only("akave")
    record = union.hand_in()
    union.sandboxes.arm_s3(kind)

    union.settle("akave")

    got = [outcome.replace("unknown", "transient") for outcome in union.outcomes(record, "akave")]
    assert got == expected
    assert holds_one_object_each(union, 1)
    union.check()


def test_a_flipped_byte_is_seen_and_sent_anew(union: Union) -> None:
    only("akave")
    set_options("akave", grace_s="1")
    record = union.hand_in()
    union.sandboxes.arm_s3("flip_byte")

    union.push("akave")
    assert "holds other bytes" in job_of(record, "akave").error_message
    given_up_at = time.time() + 2  # the adapter's own clock, which no row moves
    eventually(lambda: time.time() > given_up_at)
    union.settle("akave")

    assert puts(union) == ["flip_byte", ""]
    union.check()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("before", [0, 1], ids=["PUT", "HEAD"])
def test_a_redirect_is_not_followed(union: Union, status: int, before: int) -> None:
    only("akave")
    record = union.hand_in()
    with holes.visited() as (admin, asked):
        union.sandboxes.arm_s3("redirect", skip=before, text=f"{status} {admin}")

        union.push("akave")

        assert asked == []
    row = row_of("akave")
    assert (row.state, job_of(record, "akave").attempts, union.outcomes(record, "akave")) == (
        "paused",
        0,
        ["misconfigured"],
    )
    told = f"answered {status}, a redirect; set endpoint_url and region to where the bucket lives"
    assert row.state_reason.endswith(told)
    resume("akave")
    union.settle("akave")
    assert holds_one_object_each(union, 1)
    union.check()


def test_a_redirect_to_the_clouds_metadata_is_not_followed(union: Union) -> None:
    only("akave")
    union.hand_in()
    union.sandboxes.arm_s3("redirect")

    union.push("akave")

    resume("akave")
    union.settle("akave")
    assert [entry["status"] for entry in union.sandboxes.storage_log()] == [307, 200, 200]
    union.check()


@pytest.mark.parametrize("kind", ["huge_answer", "huge_length", "gzip_bomb"])
def test_an_answer_of_a_gigabyte_is_not_read(union: Union, kind: str) -> None:
    only("akave")
    records = [union.hand_in(str(number)) for number in range(4)]
    union.settle("akave", until=lambda: union.is_synced(records[0], "akave"))  # what is loaded once is loaded
    late = [union.hand_in(f"late-{number}") for number in range(4)]
    union.sandboxes.arm_s3(kind, times=4)

    with holes.memory_growth() as grown:
        union.push("akave")

    assert grown[0] < 50 * MEGABYTE
    eventually(lambda: sum("sent" in entry for entry in union.sandboxes.storage_log()) == 4)
    assert max(entry.get("sent", 0) for entry in union.sandboxes.storage_log()) < 30 * MEGABYTE
    union.settle("akave")
    assert all(union.outcomes(record, "akave") == ["transient", "synced"] for record in late)
    assert holds_one_object_each(union, 8)
    union.check()
