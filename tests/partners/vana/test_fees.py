"""Prices last while the base fee doubles, rise by an eighth, and never pass the cap."""

from __future__ import annotations

import pytest

from partners.vana.fees import Fees, price, raise_price

GWEI = 10**9


def test_a_price_lasts_while_the_base_fee_doubles() -> None:
    assert price(10 * GWEI, GWEI, 100 * GWEI) == Fees(max_fee=21 * GWEI, tip=GWEI)


def test_a_price_stops_at_the_cap() -> None:
    assert price(60 * GWEI, GWEI, 100 * GWEI) == Fees(max_fee=100 * GWEI, tip=GWEI)


def test_there_is_no_price_above_the_cap() -> None:
    assert price(100 * GWEI, 1, 100 * GWEI) is None


@pytest.mark.parametrize("wei", [0, 1, 7, 8, 9, 10**9, 10**9 + 1])
def test_a_raised_price_is_an_eighth_more_on_both_fields(wei: int) -> None:
    raised = raise_price(Fees(max_fee=wei, tip=wei), 0, 0, 100 * GWEI)

    assert raised is not None
    assert raised.max_fee == raised.tip > wei
    assert raised.max_fee * 8 >= wei * 9


def test_a_raised_price_follows_the_base_fee() -> None:
    raised = raise_price(Fees(max_fee=2 * GWEI, tip=GWEI), 40 * GWEI, GWEI, 100 * GWEI)

    assert raised == Fees(max_fee=81 * GWEI, tip=1_125_000_000)


def test_a_price_is_not_raised_above_the_cap() -> None:
    assert raise_price(Fees(max_fee=90 * GWEI, tip=GWEI), GWEI, GWEI, 100 * GWEI) is None
