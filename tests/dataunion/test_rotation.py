"""Rotation: every sealed column is wrapped with the newest key, and what cannot be is named."""

from __future__ import annotations

from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from dataunion import claims, roster, rotation, vault
from dataunion.models import ChainTx, CheckIn, DataUnion, HealthData, Partner, SyncJob
from dataunion.sync import engine
from tests.dataunion.work import hand_in

pytestmark = pytest.mark.django_db(transaction=True)


def rotate_keys() -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("rotate_keys", stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue().strip(), err.getvalue()
    return 0, out.getvalue().strip(), err.getvalue()


@pytest.fixture
def sealed(settings: Any) -> dict[str, str]:
    """One of each sealed column under an old key; then a new key is put in front."""
    record, checkin = hand_in("a"), hand_in("b", data_type="checkin")
    engine.push("akave")
    SyncJob.objects.filter(record=record).update(saved=claims.seal_saved(record.pk, "vana", {"secret": "s"}))
    roster.configure(roster.get_partner("akave"), config={}, secrets={"token": "t"})
    ChainTx.objects.create(
        chain_id=1,
        signer="0x1",
        nonce=0,
        record=record.pk,
        partner="vana",
        step="sign",
        generation=0,
        raw=vault.seal(b"raw", "chaintxs", record.pk, "vana"),
        hashes=["0x1"],
    )
    old, new = settings.VAULT_KEYS[0], vault.new_key()
    settings.VAULT_KEYS = [new, old]
    return {"old": old, "new": new, "record": str(record.pk), "checkin": str(checkin.pk)}


def test_everything_opens_without_the_old_key_afterwards(sealed: dict[str, str], settings: Any) -> None:
    status, out, err = rotate_keys()

    assert (status, out) == (0, "7 wrapped anew; run this once more before the older keys go")
    assert "healthdata: 1 looked at, 1 wrapped anew" in err
    assert "dataunions: 2 looked at, 2 wrapped anew" in err
    settings.VAULT_KEYS = [sealed["new"]]
    record = DataUnion.objects.get(pk=sealed["record"])
    assert vault.open_sealed(bytes(HealthData.objects.get().payload), "healthdata", record.pk)
    assert vault.open_sealed(bytes(CheckIn.objects.get().payload), "checkins", UUID(sealed["checkin"]))
    assert record.retry_data("akave")["secret"] == f"secret-of-{record.pk}"
    assert record.retry_data("vana") == {"secret": "s"}
    tx = ChainTx.objects.get()
    assert vault.open_sealed(bytes(tx.raw), "chaintxs", tx.record, tx.partner) == b"raw"
    assert roster.read_config(Partner.objects.get(name="akave")) == {"token": "t"}


def test_a_second_run_finds_nothing_and_says_that_the_old_keys_can_go(sealed: dict[str, str]) -> None:
    rotate_keys()

    status, out, _ = rotate_keys()

    assert (status, out) == (0, "Everything is wrapped with the newest key; the older keys can go")


def test_a_run_that_was_stopped_is_gone_on_with(sealed: dict[str, str]) -> None:
    walk = rotation.rotate()
    first = next(walk)
    walk.close()
    assert (first.table, first.rewrapped) == ("healthdata", 1)

    _, out, err = rotate_keys()

    assert out == "6 wrapped anew; run this once more before the older keys go"
    assert "healthdata: 1 looked at, 0 wrapped anew" in err


def test_tables_are_walked_page_by_page(sealed: dict[str, str], settings: Any) -> None:
    for name in "cdefg":
        hand_in(name)
    size, rotation._PAGE = rotation._PAGE, 2
    try:
        pages = [(t.table, t.looked_at) for t in rotation.rotate() if t.table == "healthdata"]
    finally:
        rotation._PAGE = size

    assert pages == [("healthdata", 2), ("healthdata", 4), ("healthdata", 6), ("healthdata", 6)]


def test_what_does_not_open_is_named_and_the_rest_goes_on(sealed: dict[str, str]) -> None:
    Partner.objects.filter(name="akave").update(secrets=b"cut")

    status, out, err = rotate_keys()

    assert (status, out) == (1, "6 wrapped anew, 1 could not be opened; keep the older keys")
    assert f"partners {Partner.objects.get(name='akave').pk}: sealed bytes do not belong" in err


def test_what_somebody_writes_meanwhile_is_left_alone(sealed: dict[str, str]) -> None:
    record = DataUnion.objects.get(pk=sealed["record"])
    job = SyncJob.objects.filter(record=record).values("pk", "saved", "record_id", "partner").get()
    newer = claims.seal_saved(record.pk, "vana", {"newer": True})
    SyncJob.objects.filter(pk=job["pk"]).update(saved=newer)
    tally = rotation.Tally("syncjobs")

    rotation._turn_column(SyncJob, "saved", rotation._of_job, tally, job)

    assert tally.rewrapped == 0
    assert bytes(SyncJob.objects.get(pk=job["pk"]).saved) == newer


def test_an_entry_that_somebody_writes_meanwhile_is_left_alone(sealed: dict[str, str]) -> None:
    row = DataUnion.objects.values("pk", "partners").get(pk=sealed["record"])
    DataUnion.objects.get(pk=row["pk"]).update_partner_sync("akave", True, retry_data={"newer": True})
    tally = rotation.Tally("dataunions")

    rotation._turn_entries(tally, row)

    assert tally.rewrapped == 0
    assert DataUnion.objects.get(pk=row["pk"]).retry_data("akave") == {"newer": True}


def test_generate_key_prints_a_key() -> None:
    out = StringIO()

    call_command("generate_key", stdout=out)

    assert len(out.getvalue().strip()) == 44
