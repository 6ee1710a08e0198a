"""How many statements a chunk costs: as many for 200 jobs as for 20, so that speed cannot rot unseen."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataunion.ingest import NewRecord, register_records
from dataunion.models import DataUnion, SyncJob
from dataunion.sync import engine
from tests.dataunion.work import set_partner, settings_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql_only("statements")]


def count_statements(jobs: int) -> Counter[str]:
    """Sync so many records in one chunk; return how often each kind of statement was sent."""
    news = [NewRecord(user_hash="u", data_type="health", data_id=str(n), payload=b"{}") for n in range(jobs)]
    register_records(news)
    with settings_of(sync_chunk=jobs), CaptureQueriesContext(connection) as asked:
        assert engine.push("akave") == jobs
    assert not SyncJob.objects.filter(partner="akave").exists()
    DataUnion.objects.all().delete()
    return Counter(re.sub(r"\s.*", "", one["sql"].removeprefix(f"{jobs} times: ")) for one in asked.captured_queries)


def test_a_chunk_of_200_costs_as_many_statements_as_one_of_20() -> None:
    set_partner(max_in_flight=1000)
    engine.push("akave")  # the adapter's check is asked for once

    few, many = count_statements(20), count_statements(200)

    # A list of rows to insert is cut where SQLite takes no more values in one statement.
    assert {**many, "INSERT": few["INSERT"]} == dict(few)
    assert many["INSERT"] <= 10
    assert sum(many.values()) < 100
