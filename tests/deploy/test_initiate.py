"""A replica set grows by one member at a time. What the servers answer is in test_running."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tests.deploy.containers import ROOT

_spec = importlib.util.spec_from_file_location("initiate", ROOT / "deploy" / "initiate.py")
assert _spec is not None
assert _spec.loader is not None
initiate: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(initiate)

CONFIG = {"_id": "rs0", "version": 3, "members": [{"_id": 0, "host": "a:1"}, {"_id": 4, "host": "b:1"}]}


def test_a_new_member_gets_the_next_number_and_the_configuration_the_next_version() -> None:
    wanted = initiate.with_member(CONFIG, "c:1")

    assert wanted == {"_id": "rs0", "version": 4, "members": [*CONFIG["members"], {"_id": 5, "host": "c:1"}]}


def test_a_member_that_is_there_changes_nothing() -> None:
    assert initiate.with_member(CONFIG, "b:1") is None


@pytest.mark.parametrize(
    ("hello", "is_in_service"),
    [
        ({"isWritablePrimary": True}, True),
        ({"isWritablePrimary": False, "secondary": True, "primary": "b:1"}, True),
        ({"isWritablePrimary": False, "secondary": True}, False),
        ({"isWritablePrimary": False}, False),
    ],
)
def test_a_set_is_in_service_once_it_has_a_primary(hello: dict[str, Any], is_in_service: bool) -> None:
    assert initiate.is_in_service(hello) is is_in_service
