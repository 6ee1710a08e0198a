"""The broker is a convenience: without it requests are answered as ever, and the work is done when it is back."""

from __future__ import annotations

from dataunion.models import DataUnion, SyncJob
from tests.flows.house import House, eventually

SOON_S = 3.0  # a request that waits for the broker's timeouts takes longer


def test_without_a_broker_everything_is_answered_and_done_later(house: House) -> None:
    house.start("akave", "clock", "beat")
    failed = house.hand_in("failed", {"steps": 1})
    eventually(lambda: house.is_synced(failed, "akave"))
    DataUnion.objects.get().update_partner_sync("akave", False, error_message="reported lost")
    body = {"user_hash": "user-1", "data_type": "health", "data_id": "new", "payload": {"steps": 2}}

    house.stop_broker()
    handed_in = house.ask("POST", "/api/v1/records", body, within_s=SOON_S)
    stats = house.ask("GET", "/api/users/admin/sync-stats", within_s=SOON_S)
    retry = house.ask("POST", "/api/users/admin/retry-failed-syncs", {"partner": "akave"}, within_s=SOON_S)
    login = house.ask("GET", "/admin/login/", within_s=SOON_S)

    assert [answer.status for answer in (handed_in, stats, retry, login)] == [201, 200, 200, 200]
    assert stats.json()["akave"] == {"success": 0, "failed": 1, "successRate": 0}
    assert retry.json()["retryCount"] == 1
    assert set(SyncJob.objects.filter(partner="akave").values_list("status", flat=True)) == {"pending"}

    house.start_broker()
    eventually(lambda: house.is_synced(failed, "akave") and house.is_synced(handed_in.json()["id"], "akave"))
