"""Objects of the old service: looked for before anything is sent, kept where they are, their password kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from partners.akave.encoding import decrypt, encrypt
from partners.base import REVOKE, Item, Rewind, Verdict
from partners.errors import MisconfiguredError, PermanentError
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.testing import run_steps
from tests.partners.akave.records import Make, Stored, make_item

SIGNATURE = "0x" + "ab" * 65
OLD_BODY = encrypt(b"as the old service wrote it", SIGNATURE)


def adopted(**changes: Any) -> Item:
    """Make an item of which nobody knows whether its object is there."""
    place = {"bucket": "health", "key": "old-1.enc", "url": "https://o3.example/health/old-1.enc?X-Amz-Expires=9"}
    saved = {"record_key": SIGNATURE, **place, "names": ["old-1.enc", "older.enc"], "adopted": True}
    return replace(make_item(), saved=saved | changes)


def put(bucket_client: Any, key: str = "old-1.enc", body: bytes = OLD_BODY) -> None:
    bucket_client.put_object(Bucket="health", Key=key, Body=body)


@pytest.fixture(autouse=True)
def _empty(bucket_client: Any) -> None:
    for entry in bucket_client.list_objects_v2(Bucket="health").get("Contents", []):
        bucket_client.delete_object(Bucket="health", Key=entry["Key"])


def test_an_object_that_is_there_is_kept_as_it_is(make_partner: Make, bucket_client: Any, stored: Stored) -> None:
    put(bucket_client)
    put(bucket_client, "older.enc", b"older")
    partner = make_partner()

    done = run_steps(partner, adopted())

    assert stored() == {"health/old-1.enc": OLD_BODY, "health/older.enc": b"older"}
    assert partner.receipt(done) == {
        "key": "old-1.enc",
        "url": "https://o3.example/health/old-1.enc?X-Amz-Expires=9",
        "etag": hashlib.md5(OLD_BODY).hexdigest(),
        "sha256": hashlib.sha256(OLD_BODY).hexdigest(),
    }
    assert partner.verify(done).present is True


@pytest.mark.parametrize("body", [None, b""])
def test_an_object_that_is_gone_is_uploaded_anew_under_our_name(
    make_partner: Make, bucket_client: Any, stored: Stored, body: bytes | None
) -> None:
    if body is not None:
        put(bucket_client, body=body)
    partner = make_partner()

    done = run_steps(partner, adopted())

    [(name, found)] = stored().items()
    assert name == f"health/{done.saved['key']}"
    assert decrypt(found, SIGNATURE) == make_item().payload
    assert partner.receipt(done)["url"] == f"{partner.config['endpoint_url']}/{name}"
    assert not {"url", "adopted"} & set(done.saved)


def test_a_missing_bucket_is_no_missing_object(make_partner: Make) -> None:
    with pytest.raises(MisconfiguredError, match="^akave: upload: bucket elsewhere does not exist"):
        make_partner(bucket_health="elsewhere").upload(adopted(bucket="elsewhere"))


def test_a_bucket_that_is_none_of_ours_is_that_records_conflict_and_no_pause(make_partner: Make) -> None:
    with pytest.raises(PermanentError) as caught:
        make_partner().upload(adopted(bucket="cdn"))

    assert caught.value.error_class == "conflict"
    assert caught.value.message == (
        "akave: upload: the old service stored this record in cdn, which is none of our buckets; see whether it is "
        "there, and report it as synced, or set bucket_health or bucket_checkin to it"
    )


def test_a_storage_in_trouble_says_nothing_of_the_object(make_partner: Make, s3: Server, bucket_client: Any) -> None:
    put(bucket_client)
    s3.faults.arm(Fault(kind="redirect", match="old-1.enc"))

    with pytest.raises(MisconfiguredError, match="redirect"):
        make_partner().upload(adopted())


def test_a_new_name_lets_go_of_the_old_place(make_partner: Make) -> None:
    partner = make_partner()
    kept = {name: value for name, value in adopted().saved.items() if name not in partner.name_keys}

    saved = partner.keys(replace(make_item(), saved=kept))

    assert saved["key"] != "old-1.enc"
    assert saved["names"] == ["old-1.enc", "older.enc", saved["key"]]
    assert partner.upload(replace(make_item(), saved={**kept, **saved}, payload=b"1")) != Rewind(step="keys")


def test_what_the_old_service_uploaded_can_be_seen_and_not_compared(make_partner: Make, bucket_client: Any) -> None:
    put(bucket_client)
    partner, item = make_partner(), adopted(adopted=None, bucket="health")

    there = partner.verify(item)
    bucket_client.delete_object(Bucket="health", Key="old-1.enc")

    detail = "object old-1.enc is there; the old service kept no digest of its bytes"
    assert there == Verdict(present=None, detail=detail)
    assert partner.verify(item) == Verdict(present=False, detail="object old-1.enc is gone")
    assert partner.verify(make_item()) == Verdict(present=False, detail="nothing was uploaded")


def test_it_is_taken_back_under_every_name_also_where_its_bucket_is_not_known(
    make_partner: Make, bucket_client: Any, stored: Stored
) -> None:
    put(bucket_client)
    put(bucket_client, "older.enc")
    saved = {name: value for name, value in adopted().saved.items() if name != "bucket"}

    gone = run_steps(make_partner(), replace(make_item(), saved=saved, kind=REVOKE))

    assert stored() == {}
    assert "record_key" not in gone.saved
