"""From a request to every partner, with nothing but the processes of production in between."""

from __future__ import annotations

from dataunion.models import DataUnion, SyncJob
from partners.akave.encoding import decrypt
from tests.flows.house import House, eventually
from tests.flows.sandboxes import Sandboxes


def test_a_record_handed_in_by_rest_reaches_akave_and_vana(house: House, sandboxes: Sandboxes) -> None:
    house.start("akave", "vana", "clock", "beat")

    record_id = house.hand_in("one", {"steps": 1200})
    eventually(lambda: house.is_synced(record_id, "akave", "vana"))

    told = house.record(record_id)["partners"]
    key = DataUnion.objects.get().retry_data("akave")["record_key"]
    assert decrypt(sandboxes.fetch(told["akave"]["url"]), key) == b'{"steps":1200}'
    assert sandboxes.registered_urls()[told["akave"]["url"]] == 1
    assert house.outcomes(record_id, "akave") == ["synced"]
    assert house.outcomes(record_id, "vana") == ["synced"]
    assert house.ask("GET", "/api/users/admin/sync-stats").json() == {
        "total": 1,
        "akave": {"success": 1, "failed": 0, "successRate": 100},
        "vana": {"success": 1, "failed": 0, "successRate": 100},
    }
    assert not SyncJob.objects.exists()
