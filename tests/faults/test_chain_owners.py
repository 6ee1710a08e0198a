"""Whose a URL is: somebody else's, or ours from a time that the database has forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import serializers

from dataunion import renaming
from dataunion.models import ChainTx, DataUnion, RemoteRef, Signer, SyncAttempt, SyncJob
from tests.faults.way import REGISTER_ONLY, Way

BACKED_UP: tuple[Any, ...] = (DataUnion, SyncJob, SyncAttempt, RemoteRef, ChainTx, Signer)


def back_up() -> str:
    """Return what stands in the tables that a record's way changes."""
    rows = [row for model in BACKED_UP for row in model.objects.all()]
    return str(serializers.serialize("json", rows))


def restore(backup: str) -> None:
    """Put the tables back as they were."""
    for model in BACKED_UP:
        model.objects.all().delete()
    for row in serializers.deserialize("json", backup):
        row.save()


@pytest.mark.parametrize("moment", ["before the broadcast", "in the same block"])
def test_a_url_that_somebody_else_registered_first_goes_through_under_a_new_name(way: Way, moment: str) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    if moment == "in the same block":
        way.go_broadcast("register")
    way.register_as_stranger(way.url(record), gwei=50)
    way.mine()
    old_url = way.url(record)

    way.go()

    job = way.job()
    assert (job.status, job.error_class) == ("failed", "conflict")
    assert "belongs to somebody else; upload under a new name" in job.error_message
    assert set(renaming.send_under_new_name(DataUnion.objects.get())) == {"akave", "vana"}
    way.go()
    way.union.settle()
    assert way.url(record) != old_url
    assert way.union.outcomes(record, "vana")[-2:] == ["permanent", "synced"]
    way.assert_all_well(record, txs=ChainTx.objects.count(), strangers=1)


def test_a_way_that_the_database_forgot_before_it_began_is_found_and_not_repeated(way: Way) -> None:
    """A backup from before the registration: only the keys, drawn anew, are put in place of the old ones."""
    [record] = way.store("one")
    backup = back_up()
    way.go()
    entry, before = way.union.entry(record, "vana"), len(way.hashes())

    restore(backup)
    way.go()

    now = way.union.entry(record, "vana")
    assert (now["file_id"], now["tx_hash"], now["proof"]) == (entry["file_id"], entry["tx_hash"], entry["proof"])
    assert way.new_files() == 1
    assert len(way.hashes()) == before + 1
    assert len(way.sandboxes.read("tee_pool", "fileJobIds", now["file_id"])) == 1
    way.union.check(foreign_txs=way.hashes()[:before])


def test_a_backup_from_after_the_keys_were_drawn_needs_nothing_new(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.go_broadcast("register")
    backup = back_up()
    way.go()
    way.node.mine(20)

    restore(backup)
    way.go()

    assert len(way.broadcasts()) == 1
    way.assert_all_well(record, txs=1)


def test_a_backup_without_the_signers_book_signs_at_free_nonces(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.go()
    done = way.hashes()

    ChainTx.objects.all().delete()
    Signer.objects.all().delete()
    [other] = way.store("two")
    way.go()

    assert way.is_synced(record)
    assert way.is_synced(other)
    assert way.new_files() == 2
    assert ChainTx.objects.get().nonce == way.nonce() - 1
    way.union.check(foreign_txs=done)
