"""What the steps of the Akave adapter answer to the letter: what is saved, and which step an error names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from partners.akave.encoding import encrypt
from partners.base import Item, Rewind
from partners.errors import NotReady, TransientError
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from tests.partners.akave.records import Make, Stored, make_item
from tests.partners.wire import Wire, answer

NOON = 1_000_000.0
KEY = "0x" + "5a" * 32


def uploaded(partner: Any, **changes: Any) -> Item:
    """Make an item and upload it."""
    item = replace(make_item(), saved=partner.keys(make_item()))
    return replace(item, saved={**item.saved, **partner.upload(item), **changes})


@contextmanager
def storage_that_deletes_nothing(size: int, etag: str) -> Iterator[str]:
    """Run a storage that shows every object in this size, and is too busy to delete one."""

    def reply(connection: Any, request: bytes) -> None:
        shown = answer(200, b"", ETag=f'"{etag}"').replace(b"Content-Length: 0", b"Content-Length: %d" % size)
        connection.sendall(shown if request.startswith(b"HEAD") else answer(503, b""))

    wire = Wire(reply)
    try:
        yield wire.url
    finally:
        wire.stop()


# --- what is saved


def test_names_are_drawn_for_the_bucket_of_the_records_type(make_partner: Make) -> None:
    drawn = make_partner(bucket_health="vitals").keys(make_item())

    assert set(drawn) == {"record_key", "bucket", "key", "names"}
    assert (drawn["bucket"], drawn["names"]) == ("vitals", [drawn["key"]])


def test_a_bucket_that_was_chosen_once_stays_when_the_option_changes(make_partner: Make) -> None:
    drawn = make_partner().keys(make_item())

    assert make_partner(bucket_health="vitals").keys(make_item(saved=drawn)) == drawn


def test_the_name_in_use_stands_last_among_the_names(make_partner: Make) -> None:
    drawn = {"record_key": KEY, "bucket": "health", "key": "b", "names": ["a", "b", "c"]}

    assert make_partner().keys(make_item(saved=drawn)) == {**drawn, "names": ["a", "c", "b"]}


def test_an_upload_notes_what_was_sent_and_when(make_partner: Make, stored: Stored) -> None:
    partner = make_partner(clock=lambda: NOON)
    item = replace(make_item(), saved=partner.keys(make_item()))

    told = partner.upload(item)

    sent = stored()[f"health/{item.saved['key']}"]
    digests = {"etag": hashlib.md5(sent).hexdigest(), "sha256": hashlib.sha256(sent).hexdigest()}
    assert told == {**digests, "size": len(sent), "uploaded_at": NOON}


def test_confirming_forgets_the_names_that_it_deleted(make_partner: Make, stored: Stored) -> None:
    partner = make_partner()
    first = uploaded(partner)
    renamed = partner.keys(replace(first, saved={**first.saved, "key": None}))
    item = replace(first, saved={**first.saved, **renamed})
    item = replace(item, saved={**item.saved, **partner.upload(item)})

    assert partner.confirm(item) == {"names": [item.saved["key"]]}
    assert f"health/{first.saved['key']}" not in stored()
    assert f"health/{item.saved['key']}" in stored()


@pytest.mark.parametrize("grace_s", ["8", "60"])
def test_an_object_that_is_not_shown_yet_is_named(make_partner: Make, bucket_client: Any, grace_s: str) -> None:
    partner = make_partner(clock=lambda: NOON, grace_s=grace_s)
    item = uploaded(partner)
    bucket_client.delete_object(Bucket="health", Key=item.saved["key"])

    with pytest.raises(NotReady) as caught:
        partner.confirm(item)

    assert caught.value.message == f"akave: confirm: the storage does not show {item.saved['key']} yet"
    assert caught.value.at_most_s == float(grace_s)


@pytest.mark.parametrize(
    ("body", "found"),
    [(None, "is not there"), (b"half", "holds other bytes (4) than were sent ({size})")],
)
def test_an_object_that_is_lost_is_told_with_what_comes_next(
    make_partner: Make, bucket_client: Any, body: bytes | None, found: str
) -> None:
    item = uploaded(make_partner(clock=lambda: NOON))
    place = {"Bucket": "health", "Key": item.saved["key"]}
    bucket_client.delete_object(**place)
    if body:
        bucket_client.put_object(**place, Body=body)

    with pytest.raises(TransientError) as caught:
        make_partner(clock=lambda: NOON + 60).confirm(item)

    found = found.format(size=item.saved["size"])
    assert caught.value.message == f"akave: confirm: object {item.saved['key']} {found}; it is uploaded again soon"


def test_an_object_of_which_nobody_knows_when_it_was_uploaded_goes_again_at_once(make_partner: Make) -> None:
    partner = make_partner(clock=lambda: NOON)
    drawn = partner.keys(make_item())

    assert partner.confirm(make_item(saved={**drawn, "size": 9, "sha256": "none"})) == Rewind(step="upload")


@pytest.mark.parametrize("body", [None, b"half"])
def test_an_object_is_not_fetched_where_its_size_or_etag_says_enough(
    make_partner: Make, bucket_client: Any, s3: Server, body: bytes | None
) -> None:
    partner = make_partner(clock=lambda: NOON)
    item = uploaded(partner)
    if body:
        bucket_client.put_object(Bucket="health", Key=item.saved["key"], Body=body)

    if body:
        with pytest.raises(TransientError, match="holds other bytes"):
            partner.confirm(item)
    else:
        assert partner.confirm(item) == {}

    assert not [entry for entry in s3.log() if entry["key"] == item.saved["key"] and entry["method"] == "GET"]


# --- which step an error names


def test_an_error_at_comparing_names_confirm(make_partner: Make, s3: Server) -> None:
    partner = make_partner()
    item = uploaded(partner, etag="another-way-to-count")
    s3.faults.arm(Fault(kind="html_200", match=item.saved["key"]))

    with pytest.raises(TransientError, match="^akave: confirm: "):
        partner.confirm(item)


def test_an_error_at_deleting_former_names_names_confirm(make_partner: Make) -> None:
    saved = {"bucket": "health", "key": "new", "names": ["old", "new"], "size": 5, "etag": "e-1", "sha256": "s"}

    with (
        storage_that_deletes_nothing(5, "e-1") as url,
        pytest.raises(TransientError, match="^akave: confirm: answered 503"),
    ):
        make_partner(endpoint_url=url).confirm(make_item(saved=saved))


# --- objects of the old service

OLD_BODY = encrypt(b"as the old service wrote it", KEY)
ADOPTED = {"record_key": KEY, "bucket": "health", "key": "old.enc", "url": "https://o3.example/old", "adopted": True}


@pytest.fixture
def old_object(bucket_client: Any) -> Iterator[None]:
    bucket_client.put_object(Bucket="health", Key="old.enc", Body=OLD_BODY)
    yield
    bucket_client.delete_object(Bucket="health", Key="old.enc")


def test_nothing_of_the_old_place_is_kept_for_an_object_that_is_gone(make_partner: Make) -> None:
    back = make_partner().upload(make_item(saved=ADOPTED))

    assert back == Rewind(step="keys", changes={"bucket": None, "key": None, "url": None, "adopted": None})


@pytest.mark.usefixtures("old_object")
def test_an_object_that_is_there_is_noted_as_if_it_were_uploaded_now(make_partner: Make) -> None:
    found = make_partner(clock=lambda: NOON).upload(make_item(saved=ADOPTED))

    digests = {"etag": hashlib.md5(OLD_BODY).hexdigest(), "sha256": hashlib.sha256(OLD_BODY).hexdigest()}
    assert found == {**digests, "size": len(OLD_BODY), "uploaded_at": NOON}


def test_an_error_at_looking_for_it_names_upload(make_partner: Make) -> None:
    with pytest.raises(TransientError, match="^akave: upload: "):
        make_partner(endpoint_url="http://127.0.0.1:9").upload(make_item(saved=ADOPTED))


@pytest.mark.usefixtures("old_object")
def test_an_error_at_fetching_it_names_upload(make_partner: Make, s3: Server) -> None:
    s3.faults.arm(Fault(kind="html_200", match="old.enc"))

    with pytest.raises(TransientError, match="^akave: upload: "):
        make_partner().upload(make_item(saved=ADOPTED))
