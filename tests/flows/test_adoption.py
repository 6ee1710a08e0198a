"""Uploads that the old service left half done are finished by production's processes, each registered once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataunion.models import DataUnion, RemoteRef, SyncJob
from partners.akave.encoding import decrypt
from partners.vana.encoding import ecies_encrypt, parse_public_key
from tests.dataunion.adoption.command import adopt
from tests.dataunion.adoption.old_deployment import insert, photograph, serve_old
from tests.flows.house import House, eventually
from tests.flows.old_service import STAGES, OldRecord, OldService
from tests.flows.sandboxes import Sandboxes


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with serve_old() as uri:
        yield uri


@pytest.fixture
def old(sandboxes: Sandboxes) -> Iterator[OldService]:
    service = OldService(sandboxes)
    yield service
    service.close()


def leave(old: OldService, uri: str, **how: dict[str, Any]) -> dict[str, OldRecord]:
    """Let the old service work on these records, each in its own way, and stop."""
    records, documents, payloads = {}, [], []
    for data_id, ways in how.items():
        noted = {name: ways.pop(name) for name in ("akave_is_synced", "noted") if name in ways}
        records[data_id] = old.leave(data_id, payload_of(data_id), **ways)
        documents.append(records[data_id].document(stage=ways.get("stage", "keyed"), **noted))
        payloads.append({"healthDataId": data_id, "note": data_id})
    insert(uri, dataunions=documents, healthdatas=payloads)
    return records


def payload_of(data_id: str) -> bytes:
    return b'{"healthDataId":"%b","note":"%b"}' % (data_id.encode(), data_id.encode())


def held_keys(sandboxes: Sandboxes, records: dict[str, OldRecord]) -> dict[str, str]:
    """Return the key on chain of each record that is registered."""
    dlp, found = sandboxes.chain.addresses.dlp, {}
    for data_id, record in records.items():
        file_id = sandboxes.read("registry", "fileIdByUrl", record.place["url"])
        if file_id:
            found[data_id] = sandboxes.read("registry", "filePermissions", file_id, dlp)
    return found


def entry_of(data_id: str, partner: str) -> dict[str, Any]:
    found: dict[str, Any] = DataUnion.objects.get(data_id=data_id).partners[partner]
    return found


def test_uploads_half_done_at_every_stage_are_finished_with_one_registration_each(
    house: House, sandboxes: Sandboxes, old: OldService, uri: str
) -> None:
    sandboxes.begin()
    records = leave(
        old,
        uri,
        **{stage: {"stage": stage} for stage in STAGES},
        forgotten={"stage": "requested", "noted": False},
        overwritten={"stage": "registered", "akave_is_synced": False},
        gone={"akave_is_synced": False, "stored": False},
    )
    before, held = photograph(uri), held_keys(sandboxes, records)
    uploads = len([one for one in sandboxes.storage_log() if one["method"] == "PUT"])

    _, told, _ = adopt(uri)
    house.start("akave", "vana", "clock", "beat")
    eventually(lambda: not SyncJob.objects.exists())

    assert told.splitlines()[:3] == [
        "9 documents: 9 records came in, 0 are already here, 0 are left out.",
        "akave: 7 synced, 2 half done, 0 failed, 0 not begun.",
        "vana: 0 synced, 9 half done, 0 failed, 0 not begun.",
    ]
    registered = sandboxes.registered_urls()
    for data_id, record in records.items():
        akave, vana = entry_of(data_id, "akave"), entry_of(data_id, "vana")
        assert (akave["is_synced"], vana["is_synced"]) == (True, True)
        assert decrypt(sandboxes.fetch(akave["url"]), record.signature) == payload_of(data_id)
        assert registered[akave["url"]] == 1
        assert sandboxes.read("registry", "fileIdByUrl", akave["url"]) == vana["file_id"]
        assert len(sandboxes.read("tee_pool", "fileJobIds", vana["file_id"])) == 1
        assert vana["refinement"]["url"]
        if data_id != "gone":
            assert {name: akave[name] for name in ("key", "url")} == record.place
    assert sandboxes.read("registry", "filesCount") - sandboxes.files_before == len(records)
    assert held_keys(sandboxes, {name: records[name] for name in held}) == held
    assert len([one for one in sandboxes.storage_log() if one["method"] == "PUT"]) == uploads + 1
    assert entry_of("gone", "akave")["key"] != records["gone"].place["key"]
    assert RemoteRef.objects.filter(kind="object_key", value=records["keyed"].place["key"]).exists()
    assert photograph(uri) == before
    assert adopt(uri)[1].startswith("9 documents: 0 records came in, 9 are already here, 0 are left out.")


def test_what_was_keyed_and_not_registered_is_registered_with_its_own_keys(
    house: House, sandboxes: Sandboxes, old: OldService, uri: str
) -> None:
    records = leave(old, uri, own={"stage": "keyed"})
    dlp_key = parse_public_key(sandboxes.read("dlp", "publicKey"))

    adopt(uri)
    house.start("akave", "vana", "clock", "beat")
    eventually(lambda: not SyncJob.objects.filter(record__data_id="own").exists())

    record = records["own"]
    secrets = {name: bytes.fromhex(value) for name, value in record.fixed.items()}
    expected = ecies_encrypt(
        dlp_key,
        record.signature.encode(),
        iv=secrets["iv"],
        ephemeral_private_key=secrets["ephemeral_key"],
        as_eccrypto=True,
    )
    assert held_keys(sandboxes, records) == {"own": expected}
    assert "fixed" not in DataUnion.objects.get(data_id="own").retry_data("vana")
    assert not DataUnion.objects.get(data_id="own").retry_data("vana").get("ecies")
