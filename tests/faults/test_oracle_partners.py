"""The oracle names what is wrong at the real partners' doubles: at S3, on the chain, at the webhook's receiver."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from dataunion import claims, vault
from dataunion.clock import db_now
from dataunion.models import ChainTx, DataUnion, HealthData, SyncJob
from dataunion.models.expressions import MergeEntry
from partners.sandbox.onchain import Onchain
from tests.faults.oracle import Evidence, find_violations
from tests.faults.picture import Picture, empty
from tests.faults.rules.storage import find_backend, read_storage
from tests.faults.rules.world import Side, read_world
from tests.faults.union import PARTNERS, Union
from tests.flows.sandboxes import Sandboxes


class Scene:
    """Two records that every partner has: the rows, the objects, and the doubles' books."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._rows, self._objects = Picture(), read_storage(sandboxes).objects
        self._marks = {name: vars(sandboxes)[name] for name in ("files_before", "_seen")}
        self._books = [list(book) for book in books(sandboxes)]
        self._received = sandboxes.receiver.view("received")

    def put_back(self, sandboxes: Sandboxes) -> None:
        empty()
        self._rows.put_back()
        vars(sandboxes).update(self._marks)
        for book, entries in zip(books(sandboxes), self._books, strict=True):
            book[:] = entries
        sandboxes.receiver._sandbox._received.update(self._received)  # type: ignore[attr-defined]
        for (bucket, key), body in self._objects.items():
            find_backend(bucket).put_object(bucket, key, body)


def books(sandboxes: Sandboxes) -> list[list[Any]]:
    servers = (sandboxes.s3, sandboxes.receiver)
    return [sandboxes.chain.log, *(server._sandbox.log._entries for server in servers)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return []


@pytest.fixture
def record(union: Union, scenes: list[Scene]) -> DataUnion:
    """Give a health record that every partner has, beside a check-in; made once, and put back for each test."""
    if not scenes:
        union.hand_in("one")
        union.hand_in("two", data_type="checkin")
        union.settle()
        scenes.append(Scene(union.sandboxes))
    scenes[0].put_back(union.sandboxes)
    return DataUnion.objects.get(data_id="one")


def side(record: DataUnion, partner: str = "akave") -> Side:
    return read_world().sides[record.pk, partner]


def change_entry(record: DataUnion, partner: str, **changes: Any) -> None:
    DataUnion.objects.filter(pk=record.pk).update(partners=MergeEntry(partner, changes))


def change_saved(record: DataUnion, partner: str, **changes: Any) -> None:
    """Change the step results; None takes one away."""
    merged = {k: v for k, v in {**side(record, partner).saved, **changes}.items() if v is not None}
    change_entry(record, partner, retry_data=vault.to_text(claims.seal_saved(record.pk, partner, merged)))


def named(union: Union, **fields: Any) -> set[str]:
    return {found.invariant for found in find_violations(union.evidence(patience_s=0, **fields))}


def told(union: Union, **fields: Any) -> list[str]:
    return [found.what.partition(": ")[2] for found in find_violations(union.evidence(patience_s=0, **fields))]


def test_a_sound_world_breaks_no_promise(union: Union, record: DataUnion) -> None:
    union.check()
    union.check(at_rest=False)


def test_what_was_taken_back_breaks_no_promise(union: Union) -> None:
    record = union.hand_in()
    union.settle()
    for partner in PARTNERS:
        take_back(side(record, partner))

    union.settle()

    assert all(side(record, partner).is_withdrawn for partner in PARTNERS)
    union.check()


def take_back(of: Side) -> None:
    SyncJob.objects.create(
        record=of.record,
        partner=of.partner.name,
        kind="revoke",
        user_hash=of.record.user_hash,
        data_type=of.record.data_type,
        fence=of.entry.fence + 1,
        runs=of.entry.attempts,
        saved=vault.from_text(of.entry.retry_data or ""),
    )


# --- S3 --------------------------------------------------------------------------------------------------------------


def place(record: DataUnion) -> tuple[str, str]:
    saved = side(record).saved
    return saved["bucket"], saved["key"]


def lose_object(union: Union, record: DataUnion) -> None:
    find_backend(place(record)[0]).delete_object(*place(record))


def add_object(union: Union, record: DataUnion) -> None:
    find_backend(place(record)[0]).put_object(place(record)[0], "nobody's", b"bytes")


def duplicate_object(union: Union, record: DataUnion) -> None:
    """Store it under a second name that the record owns to."""
    bucket, key = place(record)
    change_saved(record, "akave", names=[key, "second"])
    find_backend(bucket).put_object(bucket, "second", b"bytes")


def flip_byte(union: Union, record: DataUnion) -> None:
    bucket, key = place(record)
    body = read_storage(union.sandboxes).objects[bucket, key]
    find_backend(bucket).put_object(bucket, key, body[:-1] + bytes([body[-1] ^ 1]))


def put_again(union: Union, record: DataUnion) -> None:
    bucket, key = place(record)
    with union.sandboxes._storage() as storage:
        storage.put_object(Bucket=bucket, Key=key, Body=read_storage(union.sandboxes).objects[bucket, key])


def leave_upload(union: Union, record: DataUnion) -> None:
    with union.sandboxes._storage() as storage:
        storage.create_multipart_upload(Bucket=place(record)[0], Key=place(record)[1])


def share_object(union: Union, record: DataUnion) -> None:
    """Let the other record name this one's object as its own."""
    other = DataUnion.objects.get(data_id="two")
    theirs = side(other).saved
    change_saved(other, "akave", bucket=place(record)[0], names=[place(record)[1]])
    find_backend(theirs["bucket"]).delete_object(theirs["bucket"], theirs["key"])


def send_after_withdrawal(union: Union, record: DataUnion) -> None:
    before = (db_now() - timedelta(days=1)).isoformat()
    lose_object(union, record)
    change_saved(record, "akave", record_key=None)
    change_entry(record, "akave", is_synced=False, withdrawn_at=before)


AT_S3: list[tuple[Callable[[Union, DataUnion], None], set[str]]] = [
    (lose_object, {"I2"}),
    (add_object, {"I2"}),
    (duplicate_object, {"I2"}),
    (flip_byte, {"I3"}),
    (put_again, {"I5"}),
    (leave_upload, {"I10"}),
    (share_object, {"I2", "I3"}),
    (send_after_withdrawal, {"I7"}),
    (lambda union, record: change_entry(record, "akave", sha256="0" * 64), {"I3"}),
    (lambda union, record: change_entry(record, "akave", key="another"), {"I3"}),
    (lambda union, record: change_saved(record, "akave", size=7), {"I3"}),
    (lambda union, record: change_saved(record, "akave", record_key="0x" + "0" * 64), {"I3"}),
    (lambda union, record: change_entry(record, "akave", retry_data="AAAA"), {"I2", "I3"}),
]


@pytest.mark.parametrize("number", range(len(AT_S3)))
def test_what_is_wrong_at_s3_is_named(union: Union, record: DataUnion, number: int) -> None:
    plant, invariants = AT_S3[number]

    plant(union, record)

    assert named(union, at_rest=False) == invariants
    bucket = union.sandboxes.buckets["health"]
    find_backend(bucket).buckets[bucket].multiparts.clear()


# --- the chain -------------------------------------------------------------------------------------------------------


Send = Callable[..., str]


@pytest.fixture
def send_as_signer(sandboxes: Sandboxes) -> Iterator[Send]:
    """Be somebody else who has our signer's key; what is sent by it is off the chain again afterwards."""
    chain, told = sandboxes.chain, asdict(sandboxes.chain.addresses)
    signer = Onchain(rpc_url=chain.rpc_url, addresses=told, private_key=sandboxes.signer_key, stopping=Event())
    sent: list[str] = []

    def send(*call: Any) -> str:
        sent.append(signer.send(*call))
        return sent[-1]

    yield send
    with chain.node.lock:
        first = min(mined[0].number for tx_hash in sent if (mined := chain.node.find_mined(tx_hash)))
        chain.node.reorg(chain.node.head.number - first + 1, drop=sent)


def test_a_registration_that_no_record_explains_is_named(union: Union, record: DataUnion, send_as_signer: Send) -> None:
    tx_hash = send_as_signer("registry", "addFile", "https://nobody.example/object")
    file_id = union.sandboxes.read("registry", "filesCount")

    assert [what.partition(" no row")[0] for what in told(union)] == [
        f"file {file_id}: no record explains it",
        f"transaction {tx_hash}:",
    ]
    assert told(union, foreign_txs=[tx_hash]) == []


def test_a_proof_paid_twice_is_named(union: Union, record: DataUnion, send_as_signer: Send) -> None:
    file_id = side(record, "vana").entry.receipt["file_id"]
    union.sandboxes.chain.admin.transact("tee_pool", "updateTeeFee", 0)
    tx_hash = send_as_signer("tee_pool", "requestContributionProof", file_id)
    union.sandboxes.chain.admin.transact("tee_pool", "updateTeeFee", 10**16)

    [what] = told(union, foreign_txs=[tx_hash])
    assert what.startswith(f"file {file_id}: 2 proofs were paid")


def test_a_key_blanked_on_chain_is_named(union: Union, record: DataUnion, send_as_signer: Send) -> None:
    vana = side(record, "vana")
    account = vana.saved["permissions"][0]["account"]
    tx_hash = send_as_signer("registry", "addFilePermission", vana.entry.receipt["file_id"], account, "")

    assert named(union, foreign_txs=[tx_hash]) == {"I3"}


def test_a_transaction_without_row_is_named(union: Union, record: DataUnion) -> None:
    ChainTx.objects.filter(record=record.pk, step__startswith="register").delete()

    assert named(union) == {"I2"}


def test_a_nonce_that_is_not_its_rows_is_named(union: Union, record: DataUnion) -> None:
    ChainTx.objects.filter(record=record.pk, step__startswith="register").update(nonce=77)

    assert named(union) == {"I2"}


@pytest.mark.parametrize("changes", [{"file_id": 9}, {"tx_hash": "0x" + "1" * 64}, {"block": 1}])
def test_an_entry_that_the_chain_does_not_bear_out_is_named(
    union: Union, record: DataUnion, changes: dict[str, Any]
) -> None:
    change_entry(record, "vana", **changes)

    assert named(union) == {"I3"}


def test_a_file_of_another_owner_is_named(union: Union, record: DataUnion) -> None:
    change_saved(record, "vana", owner="0x" + "1" * 40)

    assert named(union) == {"I3"}


def test_two_records_with_one_registration_are_named(union: Union, record: DataUnion) -> None:
    other = DataUnion.objects.get(data_id="two")
    change_entry(other, "vana", file_id=side(record, "vana").entry.receipt["file_id"])

    assert named(union) == {"I2", "I3"}


def test_a_url_that_was_never_registered_is_named(union: Union, record: DataUnion) -> None:
    akave = side(record).entry.receipt
    change_entry(record, "akave", url=akave["url"] + "x")

    assert named(union) == {"I2", "I3"}


def test_more_unmined_transactions_than_allowed_are_named(union: Union, record: DataUnion) -> None:
    row = ChainTx.objects.filter(record=record.pk).first()
    assert row is not None
    for number in range(17):
        fields = {"nonce": 900 + number, "step": f"more-{number}", "generation": 0}
        copy = {"chain_id": row.chain_id, "signer": row.signer, "record": row.record, "partner": row.partner}
        ChainTx.objects.create(**fields, **copy, raw=row.raw, hashes=[])

    assert named(union) == {"I10"}


# --- the webhook's receiver ------------------------------------------------------------------------------------------


def deliver(union: Union, webhook_id: str) -> None:
    request = urllib.request.Request(
        f"{union.sandboxes.receiver.url}/hook", b"{}", {"webhook-id": webhook_id}, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)


def test_a_delivery_that_no_record_explains_is_named(union: Union, record: DataUnion) -> None:
    deliver(union, "msg_nobody")

    assert told(union) == ["delivery msg_nobody: no record explains it"]


def test_another_body_under_one_id_is_named(union: Union, record: DataUnion) -> None:
    deliver(union, side(record, "hook").entry.receipt["webhook_id"])

    assert told(union) == ["other bytes were sent at another attempt", "2 deliveries in 1 claims"]


def test_a_delivery_that_nobody_took_in_is_named(union: Union, record: DataUnion) -> None:
    union.sandboxes.receiver._sandbox._received.pop(side(record, "hook").entry.receipt["webhook_id"])  # type: ignore

    assert told(union) == ["synced, and no delivery was taken in"]


def test_other_data_than_were_delivered_are_named(union: Union, record: DataUnion) -> None:
    sealed = vault.seal(b'{"other":1}', "healthdata", record.pk)
    HealthData.objects.filter(pk=record.pk).update(payload=sealed)

    assert told(union) == [
        "the object opens to other bytes than the record's data",
        "the delivery holds other data than the record",
    ]


def test_an_entry_with_another_webhook_id_is_named(union: Union, record: DataUnion) -> None:
    change_entry(record, "hook", webhook_id="msg_other")

    assert named(union) == {"I3"}


def test_without_sandboxes_the_real_partners_are_not_asked(union: Union, record: DataUnion) -> None:
    lose_object(union, record)

    assert find_violations(Evidence(patience_s=0)) == []
