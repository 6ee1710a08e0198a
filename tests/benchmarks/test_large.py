"""Large unions for benchmarks: written past the ORM, yet as it would have written them; and what is asked of them."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest

from benchmarks import stats as stats_bench
from benchmarks._inserts import write
from benchmarks._rows import fill
from dataunion import claims, payloads, stats
from dataunion.models import DataUnion
from dataunion.models._fields import uuid7
from dataunion.stats import PartnerTotals
from tests.factories import synced_entry


def read(pk: Any) -> dict[str, object]:
    """Return a record as the database has it, but for its key."""
    [found] = DataUnion.objects.filter(pk=pk).values()
    return {name: value for name, value in found.items() if name != "id"}


@pytest.mark.django_db
def test_a_row_written_in_bulk_is_as_the_orm_writes_it() -> None:
    entry = {"akave": synced_entry("akave")}
    own = {"user_hash": "user-1", "data_type": "health", "partners": entry, "counted": 1}
    made, pk = DataUnion.objects.create(data_id="1", **own), uuid7()
    times = {"created_at": made.created_at, "updated_at": made.updated_at}

    pages = list(write(DataUnion, [{"id": pk, "data_id": "2", **own, **times}]))

    assert pages == [1]
    assert read(pk) == {**read(made.pk), "data_id": "2"}


@pytest.mark.django_db(transaction=True)  # PostgreSQL cleans up outside of transactions only
def test_a_filled_union_counts_right_and_its_waiting_work_can_be_sent() -> None:
    told = list(fill(records=40, failures=10, waiting=10, attempts=5))

    assert told[0] == "40 records"
    assert stats.read_totals().partners == {
        "akave": PartnerTotals(enrolled=40, synced=24, failed=6, pending=10),
        "vana": PartnerTotals(enrolled=40, synced=36, failed=4, pending=0),
    }
    jobs = claims.claim("akave", limit=50)
    data = payloads.read_payloads(DataUnion.objects.in_bulk([job.record_id for job in jobs]).values())
    assert sorted(json.loads(cast(bytes, found))["steps"] for found in data.values()) == list(range(2, 40, 4))


@pytest.mark.slow
def test_statistics_are_compared_and_the_last_line_is_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--small", "20", "--large", "40", "--open", "10", "--rounds", "2", "--databases", "sqlite"]

    assert stats_bench.main(sizes) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| sqlite | 40 against 20 |")
    assert re.fullmatch(r"ratio: \d+\.\d\d", lines[-1])
