"""The broker is a convenience: whatever becomes of it and its messages, requests are answered and the work is done."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from dataunion.models import DataUnion, SyncAttempt, SyncJob
from tests.faults.false_broker import HANGUP, NONSENSE, SILENCE, false_broker
from tests.faults.oracle import MARKER
from tests.faults.union import Union
from tests.flows.house import House, eventually

SOON_S = 3.0  # a request that waits for the broker's timeouts takes longer


def body_of(data_id: str) -> dict[str, Any]:
    return {"user_hash": "user-1", "data_type": "health", "data_id": data_id, "payload": {"note": MARKER}}


def is_done() -> bool:
    return not SyncJob.objects.exists()


def notices(house: House) -> int:
    """Count how often worker and beat have noticed that something is wrong with the broker."""
    worker, beat = ((house.logs / f"{name}.log").read_bytes() for name in ("all", "beat"))
    return min(worker.count(b"Connection to broker lost"), beat.count(b"Couldn't apply scheduled task"))


def sent_once(union: Union, records: int) -> bool:
    """Say whether each record was put once, delivered once and registered once, at the first attempt."""
    puts = Counter(entry["key"] for entry in union.sandboxes.storage_log() if entry["method"] == "PUT")
    messages = Counter(entry["id"] for entry in union.sandboxes.hook_log() if "ping" not in entry["id"])
    assert set(SyncAttempt.objects.values_list("outcome", flat=True)) == {"synced"}
    assert SyncAttempt.objects.count() == 3 * records
    registered = union.sandboxes.read("registry", "filesCount") - union.sandboxes.files_before
    return [*puts.values()] == [*messages.values()] == [1] * records and registered == records


def replay(house: House, *queues: str) -> None:
    """Let five copies of each waiting message wait as well."""

    def copy(broker: Any, queue: str) -> bool:
        waiting = broker.lrange(queue, 0, -1)
        return bool(waiting and broker.rpush(queue, *waiting * 5))

    for queue in queues:
        eventually(partial(house.ask_broker, partial(copy, queue=queue)))


def test_without_a_broker_everything_is_answered_and_done_later(house: House, union: Union) -> None:
    house.start("all", "beat")
    failed = house.hand_in("failed", {"note": MARKER})
    eventually(lambda: house.is_synced(failed, "akave", "vana", "hook"))
    DataUnion.objects.get().update_partner_sync("akave", False, error_message="reported lost")

    noticed = notices(house)
    house.stop_broker()
    handed_in = house.ask("POST", "/api/v1/records", body_of("new"), within_s=SOON_S)
    stats = house.ask("GET", "/api/users/admin/sync-stats", within_s=SOON_S)
    retry = house.ask("POST", "/api/users/admin/retry-failed-syncs", {"partner": "akave"}, within_s=SOON_S)
    login = house.ask("GET", "/admin/login/", within_s=SOON_S)
    eventually(lambda: notices(house) > noticed)

    assert [answer.status for answer in (handed_in, stats, retry, login)] == [201, 200, 200, 200]
    assert stats.json()["akave"] == {"success": 0, "failed": 1, "successRate": 0}
    assert retry.json()["retryCount"] == 1
    assert set(SyncJob.objects.filter(partner="akave").values_list("status", flat=True)) == {"pending"}
    house.start_broker()
    eventually(is_done)
    union.check(logs=[house.logs])


def test_messages_that_are_replayed_flushed_or_lost_change_nothing(house: House, union: Union) -> None:
    for number in range(3):
        house.hand_in(f"replayed-{number}", {"note": MARKER})
    replay(house, "sync.akave", "sync.vana", "sync.webhook")

    house.start("all", "beat")
    eventually(is_done)
    assert sent_once(union, 3)

    house.kill("beat")
    union.sandboxes.arm_s3("put_hold", seconds=2)
    for number in range(3):
        house.hand_in(f"flushed-{number}", {"note": MARKER})
        assert house.ask_broker(lambda broker: broker.flushall())
    house.start("beat")
    eventually(is_done)

    assert sent_once(union, 6)
    union.check(logs=[house.logs])


@pytest.mark.parametrize("manner", [NONSENSE, HANGUP, SILENCE])
def test_what_is_no_broker_holds_up_no_request_and_no_work_for_good(house: House, union: Union, manner: str) -> None:
    house.start("all", "beat")
    house.hand_in("before", {"note": MARKER})
    eventually(is_done)
    noticed = notices(house)
    house.stop_broker()

    with false_broker(house.broker_port, manner):
        handed_in = house.ask("POST", "/api/v1/records", body_of("meanwhile"), within_s=SOON_S)
        ready = house.ask("GET", "/healthz", within_s=SOON_S)
        eventually(lambda: notices(house) > noticed)
    house.start_broker()

    assert (handed_in.status, ready.status) == (201, 200)
    eventually(is_done)
    assert house.has_ended("all") is None
    assert house.has_ended("beat") is None
    assert sent_once(union, 2)
    union.check(logs=[house.logs])
