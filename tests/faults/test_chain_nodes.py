"""Nodes that are busy, sick, behind, away or on another chain: a record waits for a better one, nothing is repeated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataunion import roster
from demo.processes import free_port
from tests.faults.relay import SPOILS, Relay, on_chain
from tests.faults.way import REGISTER_ONLY, Way


@pytest.fixture
def relay(way: Way) -> Iterator[Relay]:
    running = Relay(way.chain.rpc_url)
    way.configure(rpc_url=running.url)
    yield running
    running.stop()


@pytest.mark.parametrize("kind", SPOILS)
def test_a_node_that_now_and_then_answers_nonsense_costs_attempts_only(way: Way, relay: Relay, kind: str) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    relay.spoil(SPOILS[kind], every=4, times=5)

    way.go()

    assert relay.spoiled == 5
    assert {"permanent", "internal", "misconfigured"}.isdisjoint(way.union.outcomes(record, "vana"))
    way.assert_all_well(record, txs=1)


def test_a_node_that_is_sick_all_the_way_costs_attempts_only(way: Way, relay: Relay) -> None:
    [record] = way.store("one")
    relay.spoil(SPOILS["html"], every=7, times=9)

    way.go()

    assert relay.spoiled == 9
    assert set(way.union.outcomes(record, "vana")) <= {"transient", "unknown", "synced"}
    way.assert_all_well(record, txs=3)


def test_a_node_that_limits_us_is_left_in_peace_at_no_cost(way: Way) -> None:
    [record] = way.store("one")
    way.stand()
    way.sandboxes.arm_chain("rpc_429", times=20, every=7, per_subject=20, seconds=7)

    way.go()

    assert {"limited", "synced"} == set(way.union.outcomes(record, "vana"))
    way.assert_all_well(record, txs=3)


def test_answers_that_come_too_late_are_no_second_transaction(way: Way) -> None:
    way.configure(rpc_timeout_s="0.5")
    [record] = way.store("one")
    way.sandboxes.arm_chain("broadcast_hold", seconds=0.8)
    way.sandboxes.arm_chain("rpc_timeout", seconds=0.8, skip=20, every=11, times=3, per_subject=3)

    way.go()

    assert set(way.union.outcomes(record, "vana")) <= {"unknown", "transient", "synced"}
    assert len(way.hashes()) == 3
    way.assert_all_well(record, txs=3)


@pytest.mark.parametrize("blocks", [2, 9])
def test_a_balancer_with_a_node_behind_makes_nothing_twice_and_calls_nothing_missing(
    way: Way, relay: Relay, blocks: int
) -> None:
    records = way.store("one", "two")
    way.mine(blocks + 1)  # or the signer's earlier tests were news to that node
    relay.balance(lambda: way.node.head.number, behind=blocks)

    way.go()

    assert relay.late > 20
    for record in records:
        assert set(way.union.outcomes(record, "vana")) <= {"transient", "unknown", "synced"}, way.told(record)
    way.assert_all_well(*records, txs=6)


def test_a_node_that_is_away_is_waited_for(way: Way) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    way.go_broadcast("register")
    way.configure(rpc_url=f"http://127.0.0.1:{free_port()}")
    for _ in range(5):
        way.union.wait_for_next("vana")
        way.stand()
    assert way.job().attempts == 0

    way.configure(rpc_url=way.chain.rpc_url)
    way.go()

    way.assert_all_well(record, txs=1)


def test_a_node_of_another_chain_pauses_the_partner_before_anything_is_signed(way: Way, relay: Relay) -> None:
    way.configure(**REGISTER_ONLY)
    [record] = way.store("one")
    relay.spoil(on_chain(1))

    way.stand()

    told = way.partner()
    assert (told.state, way.broadcasts()) == ("paused", [])
    assert "the node is on chain 1, chain_id says 14800; correct rpc_url or chain_id" in told.state_reason
    relay.spoil(lambda answer: answer)
    roster.resume(told, by="staff")
    way.go()
    way.assert_all_well(record, txs=1)
