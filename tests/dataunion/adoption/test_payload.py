"""A payload is the same bytes however often and by whomever it is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MinKey, ObjectId, Regex
from dataunion.adoption.payload import UnwritableError, write_payload


def test_a_document_is_written_as_canonical_json() -> None:
    document = {
        "_id": ObjectId(),
        "z": None,
        "a": {"d": True, "c": [1, 2.5, 3.0, -0.0, 1e300]},
        "name": "Zoë \u2028",
        "at": datetime(2024, 3, 1, 12, 0, 0, 123000, tzinfo=timezone(timedelta(hours=2))),
        "bare": datetime(2024, 3, 1, tzinfo=UTC).replace(tzinfo=None),
        "key": ObjectId("65e0000000000000000000ff"),
        "count": Int64(2**60),
        "sum": Decimal128("71.30"),
        "bytes": Binary(b"\x00\x01"),
        "__v": 3,
    }

    assert write_payload(document).decode() == (
        '{"a":{"c":[1,2.5,3,0,1e+300],"d":true},"at":"2024-03-01T10:00:00.123Z","bare":"2024-03-01T00:00:00.000Z",'
        '"bytes":"AAE=","count":1152921504606846976,"key":"65e0000000000000000000ff","name":"Zoë \u2028",'
        '"sum":"71.30","z":null}'
    )


def test_the_order_of_fields_changes_nothing() -> None:
    assert write_payload({"a": 1, "b": {"c": 2, "d": 3}}) == write_payload({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "a number that is not finite"),
        ([float("inf")], "a number that is not finite"),
        ({"x": DatetimeMS(2**60)}, "a time outside the years 1 to 9999"),
        (Regex("secret"), "a value of a type that JSON lacks"),
        (MinKey(), "a value of a type that JSON lacks"),
    ],
)
def test_what_json_lacks_is_refused_without_its_value(value: Any, why: str) -> None:
    with pytest.raises(UnwritableError) as refused:
        write_payload({"x": value})

    assert str(refused.value) == why


def test_times_are_utc() -> None:
    assert write_payload({"at": datetime(2024, 3, 1, tzinfo=UTC)}) == b'{"at":"2024-03-01T00:00:00.000Z"}'
