"""Which data type has a loader."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dataunion.checks import check_loaders
from dataunion.loaders.registry import find_loader
from tests.dataunion.loaders.stores import SHELF, ShelfLoader


def test_a_type_without_a_row_has_none(settings: Any) -> None:
    settings.LOADERS = SHELF

    assert find_loader("checkin") is None


def test_a_loader_is_made_once(settings: Any) -> None:
    settings.LOADERS = SHELF

    found = find_loader("health")

    assert isinstance(found, ShelfLoader)
    assert find_loader("health") is found


def test_good_loaders_pass_the_check(settings: Any) -> None:
    settings.LOADERS = SHELF

    assert check_loaders(None) == []


@pytest.mark.parametrize(
    ("data_type", "row", "said"),
    [
        (
            "sleep",
            SHELF["health"],
            "is for no data type; it should be one of DATAUNION_LOADER_HEALTH, DATAUNION_LOADER_CHECKIN.",
        ),
        (
            "health",
            {"BACKEND": "dataunion.state.Status", "OPTIONS": {}},
            "it should hold the dotted path of a class made from dataunion.loaders.base.Loader.",
        ),
        (
            "health",
            {"BACKEND": SHELF["health"]["BACKEND"], "OPTIONS": {"x": "1"}},
            "x is not an option here.",
        ),
    ],
)
def test_a_wrong_loader_is_told_before_anything_starts(
    settings: Any, data_type: str, row: dict[str, Any], said: str
) -> None:
    settings.LOADERS = {data_type: row}

    [message] = check_loaders(None)

    assert message.id == "dataunion.E004"
    assert re.fullmatch(f"DATAUNION_LOADER_{data_type.upper()}:? {re.escape(said)}", message.msg)


def test_a_loader_that_is_not_there_is_told_by_its_name(settings: Any) -> None:
    settings.LOADERS = {"health": {"BACKEND": "no.such.Loader", "OPTIONS": {}}}

    [message] = check_loaders(None)

    assert "it cannot be imported" in message.msg
    assert message.msg.endswith("it should hold the dotted path of a loader.")
