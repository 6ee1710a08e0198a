"""What the Akave adapter says of an object that should be there."""

from __future__ import annotations

from typing import Any

from partners.base import Verdict
from partners.sandbox.control import Server
from partners.testing import run_steps
from tests.partners.akave.records import Make, Stored, make_item


def test_verify_finds_what_was_uploaded(make_partner: Make) -> None:
    partner = make_partner()

    verdict = partner.verify(run_steps(partner, make_item()))

    assert verdict.present is True
    assert verdict.detail.endswith("holds the bytes that were uploaded")


def test_verify_finds_a_flipped_byte(make_partner: Make, bucket_client: Any, stored: Stored) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())
    held = stored()[f"health/{done.saved['key']}"]
    bucket_client.put_object(Bucket="health", Key=done.saved["key"], Body=held[:-1] + bytes([held[-1] ^ 1]))

    verdict = partner.verify(done)

    assert verdict.present is False
    assert "other bytes" in verdict.detail


def test_verify_finds_another_size_without_fetching(make_partner: Make, bucket_client: Any, s3: Server) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())
    bucket_client.put_object(Bucket="health", Key=done.saved["key"], Body=b"x" * 100_000)

    assert partner.verify(done).present is False
    assert not [e for e in s3.log() if e["key"] == done.saved["key"] and e["method"] == "GET"]


def test_verify_finds_that_an_object_was_deleted(make_partner: Make, bucket_client: Any) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())
    bucket_client.delete_object(Bucket="health", Key=done.saved["key"])

    assert partner.verify(done) == Verdict(present=False, detail=f"object {done.saved['key']} is gone")


def test_verify_says_that_nothing_was_uploaded(make_partner: Make) -> None:
    assert make_partner().verify(make_item()) == Verdict(present=False, detail="nothing was uploaded")


def test_verify_does_not_guess_when_the_storage_is_silent(make_partner: Make) -> None:
    done = run_steps(make_partner(), make_item())

    verdict = make_partner(secret_access_key="wrong").verify(done)

    assert verdict.present is None
    assert verdict.detail.startswith("akave: verify: answered 403")
