"""The engine, from a claimed chunk to synced records."""

from __future__ import annotations

import pytest

from dataunion.ingest import register_record
from dataunion.models import SyncAttempt, SyncJob
from dataunion.sync import engine, tick
from partners.testing import FakePartner

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_record_reaches_its_partners() -> None:
    record = register_record(user_hash="u1", data_type="health", data_id="a", payload=b'{"x":1}').record

    assert engine.push("akave") == 1
    assert engine.push("vana") == 1

    record.refresh_from_db()
    assert record.entry("akave").is_synced
    assert record.entry("vana").is_synced
    assert SyncJob.objects.count() == 0
    assert [a.number for a in SyncAttempt.objects.all()] == [1, 1]
    print(record.partners)
