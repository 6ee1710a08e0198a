import pytest

from partners.sandbox.chain.mempool import Mempool, PoolTx, RejectedError

ALICE, BOB = b"\xaa" * 20, b"\xbb" * 20
RICH = 10**18


def tx(name, nonce, *, sender=ALICE, fee=100, tip=10, value=0):
    return PoolTx(
        hash=name, sender=sender, nonce=nonce, max_fee=fee, max_tip=tip, gas=21_000, value=value, raw=b"", tx=None
    )


def pool_of(*txs):
    pool = Mempool()
    for each in txs:
        pool.add(each, mined_nonce=0, balance=RICH)
    return pool


def ready(pool, *, base_fee=1, at_most=60, first=()):
    return [each.hash for each in pool.ready(lambda _: 0, base_fee=base_fee, at_most=at_most, first=first)]


def test_what_is_known_is_refused():
    pool = pool_of(tx("a", 0))

    with pytest.raises(RejectedError, match=r"^already known$"):
        pool.add(tx("a", 0), mined_nonce=0, balance=RICH)


def test_a_used_nonce_is_refused():
    with pytest.raises(RejectedError, match=r"^nonce too low: next nonce 5, tx nonce 4$"):
        Mempool().add(tx("a", 4), mined_nonce=5, balance=RICH)


def test_a_tip_above_the_fee_is_refused():
    with pytest.raises(RejectedError, match="max priority fee per gas higher than max fee per gas"):
        Mempool().add(tx("a", 0, fee=10, tip=11), mined_nonce=0, balance=RICH)


def test_who_cannot_pay_for_all_that_waits_is_refused():
    pool, cost = Mempool(), 21_000 * 100
    pool.add(tx("a", 0), mined_nonce=0, balance=2 * cost)

    with pytest.raises(RejectedError, match=f"queued cost {cost}, tx cost {cost + 1}, overshot 1"):
        pool.add(tx("b", 1, value=1), mined_nonce=0, balance=2 * cost)
    pool.add(tx("c", 1), mined_nonce=0, balance=2 * cost)


@pytest.mark.parametrize(("fee", "tip"), [(109, 11), (110, 10), (200, 10), (109, 20)])
def test_a_replacement_needs_ten_per_cent_more_of_both_fees(fee, tip):
    pool = pool_of(tx("old", 0, fee=100, tip=10))

    with pytest.raises(RejectedError, match=r"^replacement transaction underpriced$"):
        pool.add(tx("new", 0, fee=fee, tip=tip), mined_nonce=0, balance=RICH)
    assert ready(pool) == ["old"]


def test_a_replacement_takes_the_place_of_the_old_one_and_is_paid_for_once():
    pool = pool_of(tx("old", 0, fee=100, tip=10))

    pool.add(tx("new", 0, fee=110, tip=11), mined_nonce=0, balance=21_000 * 110)

    assert ready(pool) == ["new"]
    assert pool.find("old") is None
    assert len(pool) == 1


def test_a_gap_waits_until_it_is_filled():
    pool = pool_of(tx("c", 2), tx("b", 1))
    assert ready(pool) == []
    assert pool.pending_nonce(ALICE, 0) == 0

    pool.add(tx("a", 0), mined_nonce=0, balance=RICH)

    assert ready(pool) == ["a", "b", "c"]
    assert pool.pending_nonce(ALICE, 0) == 3


def test_the_best_tip_goes_first_but_nonces_stay_in_order():
    pool = pool_of(tx("a0", 0, tip=5), tx("a1", 1, tip=50), tx("b0", 0, sender=BOB, tip=20))

    assert ready(pool) == ["b0", "a0", "a1"]


def test_equal_tips_go_by_arrival():
    pool = pool_of(tx("b0", 0, sender=BOB), tx("a0", 0))

    assert ready(pool) == ["b0", "a0"]
    assert pool.hashes() == ["b0", "a0"]


def test_some_can_be_put_first():
    pool = pool_of(tx("a0", 0, tip=50), tx("b0", 0, sender=BOB, tip=1), tx("b1", 1, sender=BOB, tip=1))

    assert ready(pool, first=["b1", "b0"]) == ["b0", "b1", "a0"]


def test_what_does_not_pay_the_base_fee_waits_with_all_behind_it():
    pool = pool_of(tx("a0", 0), tx("a1", 1, fee=40), tx("a2", 2))

    assert ready(pool, base_fee=50) == ["a0"]
    assert ready(pool, base_fee=101) == []


def test_a_block_takes_no_more_than_it_may():
    pool = pool_of(tx("a", 0), tx("b", 1), tx("c", 2))

    assert ready(pool, at_most=2) == ["a", "b"]


def test_dropping_opens_a_gap():
    pool = pool_of(tx("a", 0), tx("b", 1))

    assert pool.drop("a") is True
    assert pool.drop("a") is False
    assert ready(pool) == []


def test_pruning_forgets_used_nonces_and_what_cannot_be_paid():
    pool = pool_of(tx("a", 0), tx("b", 1), tx("c", 2, value=RICH // 2))

    pool.prune(lambda _: 1, lambda _: RICH // 4)

    assert pool.hashes() == ["b"]
