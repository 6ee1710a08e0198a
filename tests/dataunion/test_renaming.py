"""A record whose URL somebody else registered is sent under a new name."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dataunion import roster
from dataunion.ingest import register_record
from dataunion.models import DataUnion, SyncJob
from dataunion.renaming import NotRenamableError, send_under_new_name
from dataunion.sync import engine
from partners.base import Item
from partners.errors import PermanentError
from partners.testing import FakePartner

pytestmark = pytest.mark.django_db(transaction=True)


class NamingPartner(FakePartner):
    """Stores under a name that it keeps in saved["name"]."""

    name_keys: ClassVar[tuple[str, ...]] = ("name",)

    def keys(self, item: Item) -> dict[str, Any]:
        """Draw a name where there is none."""
        number = len(self.service(self.name).calls)
        return {**super().keys(item), "name": item.saved.get("name", f"name-{number}")}


class NeedingPartner(FakePartner):
    """Needs the stored object's URL."""

    requires: ClassVar[tuple[str, ...]] = ("akave",)


@pytest.fixture(autouse=True)
def _partners(settings: Any) -> Any:
    FakePartner.reset()
    roster.forget_adapters()
    settings.PARTNERS = {
        "akave": {"BACKEND": f"{__name__}.NamingPartner", "OPTIONS": {}},
        "vana": {"BACKEND": f"{__name__}.NeedingPartner", "OPTIONS": {}},
    }
    yield
    roster.forget_adapters()


def _conflict() -> DataUnion:
    FakePartner.service("vana").plan("store", PermanentError("vana: store: owned by another", kind="conflict"))
    record = register_record(user_hash="u1", data_type="health", data_id="a", payload=b"1").record
    engine.push("akave")
    engine.push("vana")
    record.refresh_from_db()
    return record


def test_both_partners_begin_anew_and_the_other_saved_results_stay() -> None:
    record = _conflict()
    before = record.retry_data("akave")

    assert send_under_new_name(record) == ["akave", "vana"]
    engine.push("akave")
    engine.push("vana")

    record.refresh_from_db()
    after = record.retry_data("akave")
    assert after["name"] != before["name"]
    assert after["secret"] == before["secret"]
    assert record.entry("vana").is_synced
    assert not SyncJob.objects.exists()


def test_a_registered_name_is_not_changed() -> None:
    record = register_record(user_hash="u1", data_type="health", data_id="a", payload=b"1").record
    engine.push("akave")
    engine.push("vana")
    record.refresh_from_db()

    with pytest.raises(NotRenamableError, match="vana holds its present name"):
        send_under_new_name(record)

    assert not SyncJob.objects.exists()


def test_a_record_that_nobody_stores_under_a_name_is_refused(settings: Any) -> None:
    settings.PARTNERS = {"vana": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {}}}
    record = register_record(user_hash="u1", data_type="health", data_id="a", payload=b"1").record

    with pytest.raises(NotRenamableError, match="no partner stores it under a name"):
        send_under_new_name(record)
