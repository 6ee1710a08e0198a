"""A MongoDB document as the bytes of a payload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId, Regex

from dataunion.loaders.base import LoaderError
from dataunion.loaders.documents import write_document


def test_keys_stand_in_order_at_every_depth() -> None:
    document = {"b": 1, "a": {"d": [{"z": 1, "y": 2}], "c": None}}

    assert write_document(document) == b'{"a":{"c":null,"d":[{"y":2,"z":1}]},"b":1}'


def test_the_databases_own_fields_are_left_out_at_the_top_only() -> None:
    document = {"_id": ObjectId(), "__v": 3, "inner": {"_id": 7}}

    assert write_document(document) == b'{"inner":{"_id":7}}'


def test_each_kind_of_value_has_one_form() -> None:
    document = {
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "bytes": b"\x00\xff",
        "decimal": Decimal128("1.10"),
        "id": ObjectId("0123456789abcdef01234567"),
        "long": Int64(2**53 + 1),
        "real": 61.5,
        "text": "Grüße",
        "whole": [61.0, -0.0, 1e300],
        "uuid": UUID(int=1),
        "yes": True,
    }

    assert write_document(document).decode() == (
        '{"at":"2026-01-02T03:04:05.678Z","bytes":"AP8=","decimal":"1.10","id":"0123456789abcdef01234567",'
        '"long":9007199254740993,"real":61.5,"text":"Grüße","uuid":"00000000-0000-0000-0000-000000000001","whole":[61,0,1e+300],"yes":true}'
    )


def test_a_time_is_told_in_utc_also_one_that_names_no_zone_as_the_driver_gives_it() -> None:
    elsewhere = datetime(2026, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))

    assert write_document({"at": elsewhere}) == b'{"at":"2026-01-02T03:00:00.000Z"}'
    assert write_document({"at": elsewhere.astimezone(UTC).replace(tzinfo=None)}) == write_document({"at": elsewhere})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_refused_by_its_field_and_no_key_below(number: float) -> None:
    with pytest.raises(LoaderError, match=r"^field a holds a number that JSON has no form for$"):
        write_document({"a": {"b": [number]}})


def test_a_value_that_json_lacks_is_refused_without_being_shown() -> None:
    with pytest.raises(LoaderError) as caught:
        write_document({"rule": Regex("secret")})

    assert str(caught.value) == "field rule holds a Regex, which JSON has no form for"


def test_a_time_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(LoaderError, match=r"^field at holds a time outside the years 1 to 9999$"):
        write_document({"at": DatetimeMS(2**52)})


def test_half_a_character_is_refused() -> None:
    with pytest.raises(LoaderError, match="no Unicode"):
        write_document({"text": "\ud800"})
