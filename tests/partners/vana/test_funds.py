"""What staff are told of the signer: its balance, today's price, how many records that pays for."""

from __future__ import annotations

import pytest

from partners.base import Funds, SignerReading
from tests.partners.vana.world import World


def test_a_registration_is_weighed_at_todays_price(world: World) -> None:
    partner = world.partner(max_fee_gwei="40", warn_days="3")

    funds = partner.look_at_funds()

    head = partner.client.head()
    assert funds.signer == partner.read_signer()
    assert funds.signer.price_gwei > head.base_fee_wei / 10**9
    assert 100_000 < funds.per_record * 10**9 / funds.signer.price_gwei < 1_500_000  # gas
    assert (funds.max_price_gwei, funds.warn_days, funds.is_too_dear) == (40.0, 3.0, False)
    assert funds.records_left == int(funds.signer.balance / funds.per_record)


def test_each_transaction_of_a_record_is_counted_and_the_tees_fee(world: World) -> None:
    one = world.partner().look_at_funds()

    three = world.partner(request_proof="yes", reward="yes").look_at_funds()

    assert three.per_record > 2.9 * one.per_record


def test_a_price_above_the_cap_is_told(world: World) -> None:
    assert world.partner(max_fee_gwei="0.5").look_at_funds().is_too_dear


@pytest.mark.parametrize(("balance", "per_record", "left"), [(1.0, 0.3, 3), (0.0, 0.3, 0), (1.0, 0.0, 0)])
def test_records_left_are_whole_ones(balance: float, per_record: float, left: int) -> None:
    signer = SignerReading(address="0x0", balance=balance, price_gwei=1.0)

    assert Funds(signer=signer, per_record=per_record, max_price_gwei=2.0, warn_days=7.0).records_left == left
