"""The database is locked, cut off, or away for a while: whoever asks is told so, nobody dies, all goes on by itself."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client, override_settings

from dataunion import access
from dataunion.models import DataUnion, HealthData, SyncAttempt, SyncJob
from dataunion.sync import engine
from tests.faults.elapse import elapse
from tests.faults.oracle import MARKER
from tests.faults.tcp import Cut, PostgresProxy, Proxy, proxied
from tests.faults.test_database import PARTNER, hand_in, leave_if_broken, settle_and_check, survive
from tests.faults.union import Union
from tests.flows.house import LEASE_S, TICK_S, House, eventually
from tests.flows.sandboxes import Sandboxes

BUSY_S = 0.5
RECONNECT_S = 10.0
WORKERS = ("all", "beat")


def hand_in_by_rest(key: str, data_id: str = "one", **payload: Any) -> Any:
    """POST a record in this process."""
    data = {"note": MARKER, **payload}
    body = {"user_hash": "user-1", "data_type": "health", "data_id": data_id, "payload": data}
    headers = {"Authorization": f"Bearer {key}"}
    leave_if_broken()  # as at each request's start, which Django's test client leaves out
    return Client(headers=headers).post("/api/v1/records", json.dumps(body), content_type="application/json")


def assert_told_to_come_back(answer: Any) -> None:
    """See that an answer is the problem of a database that is away."""
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/problem+json"
    assert "Ask again" in answer.json()["error"]


def count_rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (DataUnion, SyncJob, HealthData))


# --- SQLite


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Have another connection hold the whole file."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


@pytest.fixture
def path(database: str) -> Iterator[str]:
    """Give the file, which this process waits for a moment only."""
    options = connection.settings_dict["OPTIONS"]
    before, options["timeout"] = options["timeout"], BUSY_S
    connection.close()
    yield str(connection.settings_dict["NAME"])
    options["timeout"] = before
    connection.close()


@pytest.mark.sqlite_only("file")
def test_a_locked_file_is_answered_503_and_leaves_nothing_half_done(path: str) -> None:
    key = access.make_key(name="service", scopes=["admin"])[1]
    assert hand_in_by_rest(key, "before").status_code == 201
    before = count_rows()

    with locked(path):
        assert_told_to_come_back(hand_in_by_rest(key))
        assert Client(headers={"Authorization": f"Bearer {key}"}).get("/api/v1/records").status_code == 200
        assert Client().get("/readyz").status_code == 200
        assert count_rows() == before

    assert hand_in_by_rest(key).status_code == 201
    assert hand_in_by_rest(key).status_code == 200


@pytest.mark.sqlite_only("file")
def test_processes_live_through_a_lock_longer_than_their_patience_and_their_lease(
    house: House, union: Union, sandboxes: Sandboxes, path: str, record_property: Callable[[str, object], None]
) -> None:
    sandboxes.arm_s3("put_hold", seconds=1)
    house.start("beat")
    house.start("all", env={"FAULTS_BUSY_S": str(BUSY_S)})
    records = [union.hand_in(f"id-{number}") for number in range(2)]
    eventually(lambda: SyncJob.objects.filter(partner="akave", status="running").exists())

    with locked(path):
        time.sleep(LEASE_S + 2 * BUSY_S)  # what is tried is that time passes for processes
    begin = time.monotonic()
    eventually(lambda: all(union.is_synced(record) for record in records))

    record_property("recovery_s", round(time.monotonic() - begin, 1))
    assert [house.has_ended(name) for name in WORKERS] == [None] * len(WORKERS)
    assert not SyncAttempt.objects.filter(outcome__in=("internal", "misconfigured")).exists()
    union.check(logs=[house.logs])


# --- a server


@contextmanager
def before(url: str) -> Iterator[Proxy]:
    """Give a proxy before the server at this address."""
    parts = urlsplit(url)
    kind = PostgresProxy if parts.scheme == "postgresql" else Proxy
    with proxied((str(parts.hostname), int(parts.port or 27017)), kind) as proxy:
        yield proxy


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """Give a proxy through which this process reaches its database."""
    if connection.vendor != "mongodb":
        kept = connection.settings_dict["PORT"]
        with before(database) as proxy:
            go_by(proxy.address[1])
            yield proxy
            go_by(kept)
        return
    url = connection.settings_dict["HOST"]
    with before(url) as proxy:
        go_by(with_port(url, proxy) + "&serverSelectionTimeoutMS=1000")
        yield proxy
        go_by(url)


def with_port(url: str, proxy: Proxy) -> str:
    """Return the database's address at the proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.address[1]}").geturl()


def go_by(place: str | int) -> None:
    """Reach MongoDB at this address from now on, or PostgreSQL at this port."""
    connection.ensure_connection()
    if connection.vendor == "mongodb":
        connection.close_pool()
        connection.settings_dict["HOST"] = place
    else:
        connection.close()
        connection.settings_dict["PORT"] = place


@pytest.mark.mongodb_only("connection")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@override_settings(PARTNERS=PARTNER)
def test_a_connection_cut_in_a_write_is_one_record_and_one_object(proxy: Proxy, after: bool) -> None:
    count, cuts = 0, -1
    while proxy.cuts > cuts:  # until the flow is over before the one that would be cut
        count, cuts = count + 1, proxy.cuts
        proxy.arm(Cut(after=after, skip=2 * count))
        record = hand_in(f"id-{count}")
        survive(partial(engine.push, "akave"))
        survive(partial(record.update_partner_sync, "akave", False))
        proxy.disarm()
        elapse(100)

    assert proxy.cuts > 3
    settle_and_check(count)


@pytest.mark.server_only("connection")
def test_a_server_that_was_away_is_found_again_within_ten_seconds(
    proxy: Proxy, record_property: Callable[[str, object], None]
) -> None:
    key = access.make_key(name="service", scopes=["admin"])[1]
    proxy.stop()
    assert_told_to_come_back(hand_in_by_rest(key))
    assert Client().get("/readyz").status_code == 503

    proxy.start()
    begin = time.monotonic()
    eventually(lambda: hand_in_by_rest(key).status_code == 201, within_s=RECONNECT_S)

    record_property("reconnect_s", round(time.monotonic() - begin, 2))
    assert hand_in_by_rest(key).status_code == 200


@pytest.mark.server_only("connection")
def test_processes_live_through_a_server_that_is_away(
    house: House, union: Union, sandboxes: Sandboxes, database: str, record_property: Callable[[str, object], None]
) -> None:
    with before(database) as proxy:
        house.start("beat")
        house.start("all", env={"DATABASE_URL": with_port(database, proxy)})
        sandboxes.arm_s3("put_hold", seconds=1)
        records = [union.hand_in(f"id-{number}") for number in range(2)]
        eventually(lambda: SyncJob.objects.filter(partner="akave", status="running").exists())

        proxy.stop()
        time.sleep(TICK_S)
        proxy.start()
        begin = time.monotonic()
        eventually(lambda: all(union.is_synced(record) for record in records))

        record_property("recovery_s", round(time.monotonic() - begin, 1))
        assert [house.has_ended(name) for name in WORKERS] == [None] * len(WORKERS)
        house.stop_workers()
    assert not SyncAttempt.objects.filter(outcome__in=("internal", "misconfigured")).exists()
    union.check(logs=[house.logs])


@pytest.mark.mongodb_only("silence")
def test_a_server_that_keeps_silent_keeps_nobody_for_ever(proxy: Proxy) -> None:
    key = access.make_key(name="service", scopes=["admin"])[1]
    go_by(connection.settings_dict["HOST"] + "&socketTimeoutMS=500")
    proxy.black_hole = True

    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(hand_in_by_rest(key)))
    asking.start()
    asking.join(30)

    proxy.black_hole = False
    assert_told_to_come_back(answers[0])
    assert eventually(lambda: hand_in_by_rest(key).status_code in (200, 201), within_s=RECONNECT_S)
