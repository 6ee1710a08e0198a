"""What a document says of each partner: what is saved for the adapter, and what people are told."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion.adoption.documents import UNTOLD, Reading, read_document
from dataunion.adoption.vana_state import PUBLIC_KEY
from dataunion.state import Known, Status
from tests.dataunion.adoption.old_deployment import DAMAGED, LEFT_OUT, SOUND, Maker, State

TAKERS = {"health": {"akave", "vana"}, "checkin": {"akave", "vana"}}
SIGNATURE, OTHER = "0x" + "ab" * 65, "0x" + "cd" * 65
URL = "https://o3.example/health/k1?X-Amz-Signature=1"
IV, KEY = "01" * 16, "22" * 32
STATES = [*SOUND.items(), *LEFT_OUT.items(), *DAMAGED.items()]


def read(akave: Any = None, vana: Any = None, **fields: Any) -> Reading:
    partners = {"akave": {"is_synced": False, **(akave or {})}, "vana": {"is_synced": False, **(vana or {})}}
    document = {"user_hash": "u", "data_type": "health", "data_id": "d", "partners": partners, **fields}
    return read_document(document, TAKERS)


def retry_data(**changes: Any) -> dict[str, Any]:
    state = {"fileId": 7, "file_registered": True, "fixed_iv": IV, "fixed_ephemeral_key": "0x" + KEY}
    return {"signature": SIGNATURE, "o3Response": {"key": "k1", "url": URL}, "vanaState": state} | changes


@pytest.mark.parametrize(("name", "state"), STATES, ids=[name for name, _ in STATES])
def test_each_state_is_counted_as_what_it_is(name: str, state: State) -> None:
    record, payload = Maker(1).record()
    state.change(Maker(2), record, payload)

    found = read_document(record, TAKERS)

    if found.reference is None:
        assert state.left_out
        return
    kinds = {name: str(side.kind) for name, side in found.sides.items()}
    assert state.left_out or kinds == {"akave": state.akave, "vana": state.vana}


def test_a_synced_record_keeps_place_password_and_file_id() -> None:
    found = read(
        {"is_synced": True, "key": "k1", "url": URL, "retry_data": {"signature": SIGNATURE}},
        {"is_synced": True, "file_id": "7"},
    )

    saved = {"record_key": SIGNATURE, "bucket": "health", "key": "k1", "url": URL, "names": ["k1"]}
    assert found.sides["akave"].known == Known(
        status=Status.DONE, receipt={"key": "k1", "url": URL}, saved=saved, refs=[("object_key", "k1")]
    )
    assert found.sides["vana"].known == Known(
        status=Status.DONE, receipt={"file_id": 7}, saved={"url": URL, "file_id": 7}, refs=[("file_id", "7")]
    )
    assert found.problems == ()


def test_a_half_done_registration_keeps_its_own_keys_for_its_own_url() -> None:
    found = read({"is_synced": True, "key": "k1", "url": URL}, {"error_message": "boom", "retry_data": retry_data()})

    assert found.sides["vana"].known == Known(
        error_message="boom", saved={"fixed": {"url": URL, "iv": IV, "ephemeral_key": KEY}}
    )
    assert found.sides["akave"].known.saved["record_key"] == SIGNATURE
    assert found.problems == ()


def test_the_object_that_was_registered_counts_where_both_entries_name_one() -> None:
    akave = {"is_synced": True, "key": "k2", "url": URL.replace("k1", "k2"), "retry_data": {"signature": OTHER}}

    found = read(akave, {"retry_data": retry_data()})

    saved = found.sides["akave"].known.saved
    assert (saved["key"], saved["url"], saved["record_key"]) == ("k1", URL, SIGNATURE)
    assert saved["names"] == ["k1", "k2"]


def test_without_a_registration_akaves_own_entry_counts() -> None:
    akave = {"is_synced": True, "key": "k2", "url": URL.replace("k1", "k2"), "retry_data": {"signature": OTHER}}

    found = read(akave, {"retry_data": retry_data(vanaState=None)})

    saved = found.sides["akave"].known.saved
    assert (saved["key"], saved["record_key"]) == ("k2", OTHER)


def test_a_success_that_was_overwritten_is_to_be_looked_for() -> None:
    found = read({"error_message": "boom", "key": "k1", "url": URL, "retry_data": {"signature": SIGNATURE}})

    known = found.sides["akave"].known
    assert (known.status, known.error_message, known.saved["adopted"]) == (Status.PENDING, "boom", True)


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        (URL, "health"),
        ("https://o3.example/base/old-health/k1", "old-health"),
        ("https://old-health.o3.example/k1", "old-health"),
        ("https://o3.example/health/another", None),
    ],
)
def test_the_bucket_is_the_urls(url: str, bucket: str | None) -> None:
    found = read({"is_synced": True, "key": "k1", "url": url})

    assert found.sides["akave"].known.saved.get("bucket") == bucket


def test_the_public_key_of_the_template_is_used_for_nothing_new() -> None:
    state = {"fixed_iv": IV, "fixed_ephemeral_key": PUBLIC_KEY}
    akave = {"is_synced": True, "key": "k1", "url": URL}

    fresh = read(akave, {"retry_data": retry_data(vanaState=state)})
    registered = read(akave, {"retry_data": retry_data(vanaState={**state, "fileId": 7})})

    assert fresh.sides["vana"].known.saved == {}
    assert registered.sides["vana"].known.saved["fixed"]["ephemeral_key"] == PUBLIC_KEY


def test_a_registration_without_its_url_waits_for_a_person() -> None:
    found = read({"is_synced": True}, {"file_id": 7})

    known = found.sides["vana"].known
    assert (known.status, known.saved) == (Status.FAILED, {})
    assert "did not keep its URL" in str(known.error_message)


@pytest.mark.parametrize("told", [{}, "perhaps", []])
def test_what_nobody_can_tell_waits_for_a_person(told: Any) -> None:
    found = read({"is_synced": told})

    assert found.sides["akave"].known == Known(status=Status.FAILED, error_message=UNTOLD)


def test_a_partner_that_takes_no_such_records_here_is_told() -> None:
    document = {
        "user_hash": "u",
        "data_type": "health",
        "data_id": "d",
        "partners": {"akave": {"is_synced": False}, "vana": {"is_synced": True, "file_id": 7}},
    }  # noqa: E501

    found = read_document(document, {"health": {"akave"}})

    assert set(found.sides) == {"akave"}
    assert found.problems == ("partners.vana is not taken in, since vana takes no health records here",)


def test_no_value_of_a_document_is_ever_told() -> None:
    secret = "PLANTED 0x" + "ef" * 70
    damaged = dict.fromkeys(("key", "url", "is_synced", "retry_data", "error_message", "file_id"), secret)
    states = dict.fromkeys(("fixed_iv", "fixed_ephemeral_key", "fileId", "file_registered"), secret)

    found = [
        read(damaged, damaged, createdAt=secret),
        read({}, {"retry_data": {"vanaState": states, "signature": secret, "o3Response": {"url": secret}}}),
        read_document({"user_hash": [secret], "data_type": {secret: 1}}, TAKERS),
        read_document({"user_hash": "u", "data_type": "health", "data_id": "d", "partners": {secret: 1}}, TAKERS),
    ]

    problems = [problem for reading in found for problem in reading.problems]
    assert len(problems) > 12
    assert not any("PLANTED" in problem or "efef" in problem for problem in problems)
