"""Each transaction of Vana's way meets each trouble on its way to a block: one registration, one proof, one reward."""

from __future__ import annotations

import pytest

from tests.faults.way import Way

STEPS = ("register", "request_proof", "reward")


@pytest.mark.parametrize("step", STEPS)
def test_a_lost_answer_after_a_broadcast_leads_to_no_second_transaction(way: Way, step: str) -> None:
    [record] = way.store("one")
    way.go_before(step)
    way.sandboxes.arm_chain("broadcast_lost_response")

    way.go()

    assert [sent["fault"] for sent in way.broadcasts()].count("broadcast_lost_response") == 1
    assert len(way.hashes()) == 3
    assert way.union.outcomes(record, "vana") == ["unknown", "synced"]
    way.assert_all_well(record, txs=3)


def test_with_all_answers_lost_each_transaction_is_still_sent_once(way: Way) -> None:
    [record] = way.store("one")
    way.sandboxes.arm_chain("broadcast_lost_response", times=3)

    way.go()

    assert len(way.broadcasts()) == 3
    assert way.union.outcomes(record, "vana") == ["unknown", "unknown", "unknown", "synced"]
    way.assert_all_well(record, txs=3)
