"""What was planted in payloads, keys and secrets stands in no log of any process and in no clear column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from dataunion.models import DataUnion, SyncJob
from tests.faults.oracle import MARKER, in_every_form
from tests.flows.house import House, eventually
from tests.flows.sandboxes import ACCESS_SECRET, HOOK_SECRET, Sandboxes


@pytest.fixture
def secrets_in_use(house: House, sandboxes: Sandboxes) -> set[bytes]:
    """Have records pass through faults of every kind; return what must be found nowhere."""
    sandboxes.arm_s3("put_500", match="")
    sandboxes.arm_s3("put_lost_response", skip=1)
    sandboxes.arm_s3("html_200", skip=2)
    sandboxes.arm_chain("broadcast_lost_response", times=2)
    sandboxes.arm_chain("rpc_500", match="eth_estimateGas")
    house.start("akave", "vana", "clock", "beat")
    for number in range(3):
        house.hand_in(f"id-{number}", {"note": MARKER, "number": number})
    house.ask("POST", "/api/v1/records", {"user_hash": "user-1", "data_type": "sleep", "payload": MARKER})
    house.ask("GET", f"/api/v1/records?user_hash={house.api_key[:11]}")
    SyncJob.objects.filter(status="failed").update(status="pending")
    eventually(lambda: not SyncJob.objects.exists())
    keys = {record.retry_data("akave")["record_key"] for record in DataUnion.objects.all()}
    assert len(keys) == 3
    known = {MARKER, ACCESS_SECRET, HOOK_SECRET[6:], sandboxes.signer_key, house.api_key.split("_", 2)[2], *keys}
    return {form for secret in known for form in in_every_form(secret)}


def texts_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        yield path.name, path.read_bytes()


def columns() -> Iterator[tuple[str, bytes]]:
    """Give every value of every row of ours; on SQLite the very bytes of the file as well."""
    for model in apps.get_app_config("dataunion").get_models():
        for row in model._default_manager.values():
            yield model.__name__, b"\n".join(as_bytes(value) for value in row.values())
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        yield from ((part.name, part.read_bytes()) for part in path.parent.glob(f"{path.name}*"))


def as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def test_no_secret_is_logged_or_stored_in_clear(house: House, secrets_in_use: set[bytes]) -> None:
    house.stop("akave", "vana", "clock", "beat")

    places = [*texts_of(house.logs), *columns()]

    assert {name for name, text in places if text} >= {"akave.log", "vana.log", "clock.log", "web.log", "HealthData"}
    assert [name for name, text in places if any(secret in text for secret in secrets_in_use)] == []
