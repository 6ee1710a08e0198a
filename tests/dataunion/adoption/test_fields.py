"""Taking values out of documents that hold anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from dataunion.adoption.fields import Reader, hush, kind_of


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("true", True),
        ("False", False),
        (" TRUE ", True),
        (1, True),
        (0.0, False),
        ("0", False),
        ("maybe", None),
        ({}, None),
    ],
)
def test_a_flag_of_another_type_is_read_and_told(value: Any, meant: bool | None) -> None:
    read = Reader()

    assert read.flag(value, "x") is meant
    assert read.problems == [
        f"x is {kind_of(value)}, not a truth value" + ("" if meant is None else f"; read as {meant}")
    ]


@pytest.mark.parametrize("value", [True, False, None])
def test_a_flag_is_taken_as_it_is(value: bool | None) -> None:
    read = Reader()

    assert read.flag(value, "x") is value
    assert read.problems == []


@pytest.mark.parametrize("value", [7, "7", " 7 ", 7.0, Int64(7), Decimal128("7")])
def test_a_number_is_read_in_every_form(value: Any) -> None:
    read = Reader()

    assert read.number(value, "x") == 7
    assert read.problems == []


@pytest.mark.parametrize("value", [True, 0, -1, 7.5, "seven", "", [7], {"$n": 7}, 2**63, float("nan")])
def test_what_is_no_number_is_told_by_its_kind(value: Any) -> None:
    read = Reader()

    assert read.number(value, "x") is None
    assert read.problems == [f"x is {kind_of(value)}, not a number above 0"]


@pytest.mark.parametrize(
    "value",
    ["00ff", "0x00FF", b"\x00\xff", Binary(b"\x00\xff"), [0, 255], {"type": "Buffer", "data": [0, 255]}],
)
def test_a_secret_is_read_in_every_form(value: Any) -> None:
    assert Reader().secret(value, "x", 2) == "00ff"


@pytest.mark.parametrize("value", ["", "00", "zz", [0, 256], [0, "a"], 7, {"type": "Buffer"}, "00ff00"])
def test_a_secret_of_another_size_is_told_without_its_value(value: Any) -> None:
    read = Reader()

    assert read.secret(value, "x", 2) == ""
    assert read.problems == ["x is not 2 bytes"]


def test_an_object_may_be_stored_as_text() -> None:
    read = Reader()

    assert read.mapping('{"a": 1}', "x") == {"a": 1}
    assert read.mapping(None, "x") == {}
    assert read.problems == []
    assert read.mapping("[1]", "x") == {}
    assert read.mapping("{", "y") == {}
    assert read.problems == ["x is a list, not an object", "y is text, not an object"]


@pytest.mark.parametrize("value", ["a\x00b", 7, ["a"], {"a": 1}, b"a"])
def test_what_is_no_text_is_told(value: Any) -> None:
    read = Reader()

    assert read.text(value, "x") == ""
    assert read.problems == [f"x is {kind_of(value)}, not text"]


@pytest.mark.parametrize("value", ["2024-03-01T00:00:00Z", "2024-03-01", datetime(2024, 3, 1, tzinfo=UTC)])
def test_a_moment_is_read_in_every_form(value: Any) -> None:
    assert Reader().moment({"b": value}, "a", "b") == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", 7, datetime(2999, 1, 1, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)])
def test_what_is_no_moment_of_the_past_is_told(value: Any) -> None:
    read = Reader()

    assert read.moment({"a": value}, "a") is None
    assert read.problems == ["a is no time of the past"]


def test_old_errors_are_kept_without_what_may_be_secret() -> None:
    signature, url = "0x" + "ab" * 65, "https://o3.example/b/k?X-Amz-Signature=12&x=y"

    assert hush(f"PUT {url} failed: {signature} refused") == "PUT https://o3.example/b/k?… failed: … refused"
    assert len(hush("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "a truth value"), (ObjectId(), "of a type that JSON lacks"), ({}, "an object")],
)
def test_kinds_are_told_in_words(value: Any, kind: str) -> None:
    assert kind_of(value) == kind
