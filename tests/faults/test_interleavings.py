"""One act is stopped before any of its writes, another is done meanwhile, then the first goes on: nothing is lost.

Where there are no transactions, that is: elsewhere the database lets one wait for the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.conf import settings

from dataunion.models import DataUnion, SyncJob
from dataunion.sync import engine
from tests.dataunion.work import hand_in, set_partner
from tests.faults.crashes import meanwhile
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated
from tests.faults.untransacted import without_transactions

PAYLOAD = json.dumps({"note": MARKER}).encode()
as_on_mongodb = nullcontext if settings.MONGODB else without_transactions


def in_thread(act: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], None]:
    """Return an act for another thread, whose connection has no transactions either."""

    def do() -> None:
        with as_on_mongodb():
            act(*args, **options)

    return do


@pytest.fixture
def record(database: str) -> Iterator[DataUnion]:
    """Give a record that only akave takes."""
    set_partner("vana", state="off")
    with as_on_mongodb():
        yield hand_in(payload=PAYLOAD)


@pytest.mark.parametrize("point", ["syncjobs insert 1", "syncjobs insert 1 after", "dataunions update 1"])
def test_a_word_that_came_while_another_was_being_said_is_kept(record: DataUnion, point: str) -> None:
    engine.push("akave")
    said = in_thread(DataUnion.objects.get().update_partner_sync, "akave", True, None, {"id": "by hand"})

    with meanwhile(point, said) as pause:
        record.update_partner_sync("akave", False, "akave: it is gone")

    assert pause.happened
    assert DataUnion.objects.get().retry_data("akave") == {"id": "by hand"}
    assert SyncJob.objects.values_list("status", "error_message").get() == ("failed", "akave: it is gone")
    assert_nothing_violated(Evidence(told=[(record.pk, "akave")]))
