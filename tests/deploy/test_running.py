"""Each service's own command of docker-compose.yml, run outside containers: a record goes all the way, health tells.

The tests go through one deployment's life in their order.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from functools import partial
from typing import Any

from partners.sandbox.receiver import ReceiverServer
from tests.deploy.conftest import Database
from tests.deploy.containers import Deployment
from tests.flows.house import eventually

CONTAINERS = [
    ("redis", 1),
    ("web", 1),
    ("worker-akave", 1),
    ("worker-vana", 1),
    ("worker-webhook", 1),
    ("worker-clock", 1),
    ("beat", 1),
    ("beat", 2),
]


def why_ill(deployment: Deployment, name: str, number: int = 1) -> str:
    """Return what the service's health check says is wrong; empty when nothing is."""
    well, said = deployment.ask_health(name, number)
    return "" if well else said or "ill"


def is_well(deployment: Deployment, name: str) -> bool:
    return why_ill(deployment, name) == ""


def ask(deployment: Deployment, path: str, key: str, body: Any = None) -> Any:
    port = deployment.instead["web"]["GRANIAN_PORT"]
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Host": "dataunion.example"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)) as answer:
        return json.load(answer)


def test_the_one_shots_make_user_and_tables_and_may_run_again(deployment: Deployment) -> None:
    for name in ("mongo-init", "mongo-init", "migrate"):
        deployment.run(name)


def test_every_service_becomes_healthy(deployment: Deployment) -> None:
    for name, number in CONTAINERS:
        deployment.start(name, number)

    for name, number in CONTAINERS:
        if name not in ("redis", "web"):
            eventually(deployment.file(name, "/tmp/alive", number).exists, 60)
    ill = {(name, number): said for name, number in CONTAINERS if (said := why_ill(deployment, name, number))}
    assert ill == {}
    assert [container for container in CONTAINERS if not deployment.lives(*container)] == []


def test_a_record_handed_in_by_rest_reaches_its_partner_once(deployment: Deployment, receiver: ReceiverServer) -> None:
    key = deployment.manage("create_api_key", "--scope", "admin").stdout.strip()
    body = {"user_hash": "u1", "data_type": "health", "data_id": "one", "payload": {"steps": 1200}}

    record = ask(deployment, "/api/v1/records", key, body)["id"]

    eventually(lambda: ask(deployment, f"/api/v1/records/{record}", key)["partners"]["hook"]["is_synced"], 30)
    delivered = [name for name in receiver.view("received") if not name.startswith("msg_ping_")]
    assert len(delivered) == 1


def test_the_doctor_finds_a_worker_for_each_queue_two_beats_and_no_problem(deployment: Deployment) -> None:
    eventually(lambda: ask(deployment, "/readyz", "")["last_tick_s"] is not None, 30)

    told = json.loads(deployment.manage("doctor", "--json").stdout)

    found = {finding["check"]: finding for finding in told["findings"]}
    assert {check: finding["said"] for check, finding in found.items() if finding["level"] == "problem"} == {}
    assert found["beats"]["said"] == "2 connected"
    assert found["queue dataunion"]["said"].startswith("1 worker, ")
    assert found["queue sync.webhook"]["said"].startswith("1 worker, ")
    assert found["database"]["said"].endswith("reachable, replica set secantus of 1")


def test_a_worker_and_a_beat_that_stand_still_are_ill_and_get_well_again(deployment: Deployment) -> None:
    for name, limit_s in (("worker-webhook", 300), ("beat", 60)):
        alive = deployment.file(name, "/tmp/alive")
        deployment.signal(name, signal.SIGSTOP)
        long_ago = time.time() - limit_s - 1  # instead of waiting for as long
        os.utime(alive, (long_ago, long_ago))

        assert why_ill(deployment, name).startswith("it last did something ")
        deployment.signal(name, signal.SIGCONT)
        eventually(partial(is_well, deployment, name), 30)


def test_a_worker_that_never_came_to_work_is_ill(deployment: Deployment) -> None:
    assert why_ill(deployment, "worker-akave", 2) == "it has not done anything yet\n"


def test_web_without_a_database_is_ill_until_it_is_back(deployment: Deployment, database: Database) -> None:
    database.stop()
    found = why_ill(deployment, "web")
    database.start("--auth")

    assert found != ""
    eventually(partial(is_well, deployment, "web"), 60)


def test_all_end_in_order_when_told_to(deployment: Deployment) -> None:
    ended = deployment.stop(*CONTAINERS[1:])

    assert {container: status for container, status in ended.items() if status != 0} == {}
    assert why_ill(deployment, "web").startswith("no answer: ")
    assert why_ill(deployment, "redis") == ""
    deployment.stop(*CONTAINERS[:1])
    assert why_ill(deployment, "redis") != ""


def test_nothing_was_written_into_the_image(deployment: Deployment) -> None:
    assert deployment.find_changes() == []
