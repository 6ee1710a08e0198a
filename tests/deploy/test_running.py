"""Each service's own command of docker-compose.yml, run outside containers: a record goes all the way, health tells.

The tests go through one deployment's life in their order.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from partners.sandbox.receiver import ReceiverServer
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
