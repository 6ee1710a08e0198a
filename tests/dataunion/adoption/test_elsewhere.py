"""Adoption where payloads stay in the old database, and while no new records are taken."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.core.management import CommandError

from dataunion.models import DataUnion, HealthData, SyncJob
from dataunion.sync import engine
from partners.testing import FakePartner
from tests.dataunion.adoption.command import adopt
from tests.dataunion.adoption.old_deployment import Maker, insert
from tests.dataunion.work import ago, service

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old(uri: str) -> dict[str, Any]:
    """Put one record that was never sent, and its payload, there; return the payload's document."""
    made = (Maker(seed).record() for seed in itertools.count())
    record, payload = next(one for one in made if one[0]["data_type"] == "health")
    record["partners"] = {"akave": {"is_synced": False}, "vana": {"is_synced": False}}
    insert(uri, dataunions=[record], healthdatas=[payload], checkins=[{"checkinId": "none"}])
    return payload


@pytest.fixture
def loader(uri: str, settings: Any) -> None:
    """Keep health data in the old collection."""
    options = {"uri": uri, "collection": "healthdatas", "id_field": "healthDataId"}
    settings.LOADERS = {"health": {"BACKEND": "dataunion.loaders.mongodb.MongoLoader", "OPTIONS": options}}


def test_payloads_of_a_type_with_a_loader_are_not_copied_and_are_sent_from_where_they_are(
    uri: str, old: dict[str, Any], loader: None
) -> None:
    _, told, _ = adopt(uri)

    assert "health: 1 payloads of new records stay where the loader reads them." in told.splitlines()
    assert not HealthData.objects.exists()
    SyncJob.objects.update(due_at=ago(1))
    FakePartner.reset()
    assert engine.push("akave") == 1
    [sent] = service().objects.values()
    assert f'"healthDataId":"{old["healthDataId"]}"'.encode() in sent
    assert bytes(HealthData.objects.get().payload) == b""


def test_while_tracking_is_off_it_says_so_and_takes_nothing(uri: str, old: dict[str, Any], settings: Any) -> None:
    settings.DATAUNION_TRACKING = False

    with pytest.raises(CommandError, match=r"^New records are not taken now \(DATAUNION_TRACKING is off\)"):
        adopt(uri)

    assert not DataUnion.objects.exists()
    assert adopt(uri, "--dry-run")[1].startswith("1 documents: 1 records would come in")
