"""The words of syncing."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion.state import CLAIMABLE, FAILING, MOVES, REOPENABLE, PartnerEntry, Status, add_spent


@pytest.mark.parametrize(
    "entry",
    [
        PartnerEntry(),
        PartnerEntry(is_synced=True, fence=3, attempts=2, synced_at="2026-01-02T03:04:05+00:00", receipt={"url": "u"}),
        PartnerEntry(error_message="broken", retry_data="c2VhbGVk", withdrawn_at="2026-01-02T03:04:05+00:00"),
    ],
)
def test_an_entry_survives_its_json(entry: PartnerEntry) -> None:
    assert PartnerEntry.parse(entry.dump()) == entry


def test_an_entry_of_the_old_service_has_defaults_for_what_it_lacks() -> None:
    old: dict[str, Any] = {"is_synced": True, "error_message": None, "retry_data": None, "url": "https://x.example"}

    entry = PartnerEntry.parse(old)

    assert (entry.is_synced, entry.fence, entry.attempts, entry.receipt) == (True, 0, 0, {"url": "https://x.example"})


def test_a_receipt_cannot_overwrite_what_is_ours() -> None:
    entry = PartnerEntry(fence=3, receipt={"fence": 99, "is_synced": True})

    assert (entry.dump()["fence"], entry.dump()["is_synced"]) == (3, False)


def test_done_is_the_end_and_every_other_state_has_a_way_out() -> None:
    ways_out = {status for sources, _ in MOVES.values() for status in sources}

    assert set(Status) - ways_out == {Status.DONE}


def test_what_fails_is_told_apart_from_what_waits() -> None:
    assert set(FAILING) == {"retrying", "failed", "blocked"}
    assert set(CLAIMABLE) == {"pending", "retrying"}
    assert set(REOPENABLE) == {"failed", "retrying"}


def test_runs_of_a_step_are_added_up_in_the_order_in_which_the_steps_began() -> None:
    spent = add_spent(None, "store", took_ms=40, since="a")
    spent = add_spent(spent, "confirm", took_ms=5, since="a")
    again = add_spent(add_spent(spent, "confirm", took_ms=7, since="b"), "reward", took_ms=1, since="b")

    assert again == [
        {"step": "store", "runs": 1, "ms": 40, "since": "a"},
        {"step": "confirm", "runs": 2, "ms": 12, "since": "a"},
        {"step": "reward", "runs": 1, "ms": 1, "since": "b"},
    ]
    assert spent[1]["runs"] == 1
