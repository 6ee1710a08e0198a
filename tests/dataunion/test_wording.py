"""What things are called where people read them."""

from __future__ import annotations

import pytest

from dataunion.models import Backfill, RetryPolicy, RetryRun, SyncAttempt, SyncJob
from dataunion.state import Outcome
from dataunion.wording import say_class, say_filter, say_status

PK = "01a22368-d9ad-711f-a993-1a969e3c529a"


def test_a_filter_is_told_in_words() -> None:
    wanted = {"partner": "vana", "data_type": "", "step": "send", "other": "x"}

    assert say_filter(wanted) == "partner vana, step send, other x"
    assert say_filter({}) == "everything"


def test_error_classes_and_outcomes_have_words() -> None:
    assert [say_class(name) for name in ("transient", "poison", "of_tomorrow", "")] == [
        *("busy or no answer", "two workers died", "of tomorrow", "no class"),
    ]
    assert {say_class(name) for name in Outcome if "_" in say_class(name)} == set()


def test_statuses_are_told_as_people_say_them() -> None:
    assert [say_status(name) for name in ("pending", "running", "retrying", "failed", "withdrawn")] == [
        *("waiting", "being sent", "trying again", "failed", "taken back"),
    ]


def test_a_filter_tells_classes_and_statuses_in_words() -> None:
    wanted = {"status": "retrying", "error_classes": "permanent,proof", "step": "send_register"}

    assert say_filter(wanted) == "status trying again, error refused, proof not accepted, step send register"


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (
            RetryPolicy(partner="vana", error_classes=["permanent", "proof"]),
            "Refused, proof not accepted at vana, daily at 03:00 UTC",
        ),
        (RetryPolicy(error_classes=["poison"], hour=21), "Two workers died at every partner, daily at 21:00 UTC"),
        (RetryRun(filter={"partner": "clinic"}, asked_by="olga"), "Partner clinic, asked for by olga"),
        (SyncJob(partner="akave", status="retrying", record_id=PK), f"akave, trying again: record {PK}"),
        (SyncAttempt(partner="akave", number=2, outcome="transient"), "akave #2: busy or no answer"),
        (Backfill(partner="akave", asked_by="olga"), "Older records for akave, asked for by olga"),
    ],
)
def test_a_row_is_named_in_words_over_its_history_and_in_the_staff_log(row: object, name: str) -> None:
    assert str(row) == name
