"""The signers' book: one lease a signer, one row a nonce, and no hash is ever forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataunion import ledger, vault
from dataunion.ledger import DbLedger, SignerLease, take_signer
from dataunion.models import NEVER, ChainTx, Signer
from partners.base import Item, SignedTx, SignerView
from partners.errors import MisconfiguredError, NotReady
from tests.dataunion.work import ago, at_once

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "0x" + "ab" * 20


def take(max_unmined: int = 16) -> SignerLease | None:
    return take_signer(chain_id=5, address=ADDRESS, max_unmined=max_unmined)


def taken(max_unmined: int = 16) -> SignerLease:
    lease = take(max_unmined)
    assert lease is not None
    return lease


def item(number: int = 1) -> Item:
    return Item(
        record_id=str(UUID(int=number)), partner="vana", user_hash="u1", data_type="health", data_id=str(number)
    )


def build(mark: str = "a") -> Callable[[int], SignedTx]:
    return lambda nonce: SignedTx(nonce=nonce, tx_hash=f"0x{mark}{nonce}", raw=f"raw {mark}{nonce}".encode())


def is_statement(sql: str) -> bool:
    """Say whether it is more than a bracket around others."""
    return not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))


# --- the lease


def test_one_worker_at_a_time_holds_a_signer() -> None:
    first = taken()

    assert take() is None

    first.let_go()
    assert take() is not None


def test_of_many_who_take_a_new_signer_at_once_one_gets_it() -> None:
    found = at_once(*[take] * 6)

    assert sorted(type(lease).__name__ for lease in found) == ["NoneType"] * 5 + ["SignerLease"]
    assert Signer.objects.count() == 1


def test_a_lease_that_ran_out_is_taken_over_and_is_lost_to_its_first_holder() -> None:
    first = taken()
    Signer.objects.update(lease_until=ago(1))

    second = take()

    assert second is not None
    assert (first.renew(ago(0)), second.renew(ago(0))) == (False, True)
    first.let_go()
    assert Signer.objects.get().lease_token == second.token


def test_letting_go_frees_the_signer() -> None:
    taken().let_go()

    assert Signer.objects.values_list("lease_token", "lease_until").get() == ("", NEVER)


def test_signers_of_other_chains_are_other_signers() -> None:
    taken()

    assert take_signer(chain_id=6, address=ADDRESS, max_unmined=16) is not None


def test_a_lease_begins_with_what_was_last_noted_of_the_chain() -> None:
    first = taken()
    first.note(SignerView(mined=3, pending=5))
    first.let_go()

    assert taken().view == SignerView(mined=3, pending=5)


# --- signing


def test_signing_stores_the_transaction_sealed() -> None:
    signed = DbLedger(taken()).sign(item(), "register", 0, build())

    row = ChainTx.objects.get()
    assert signed == SignedTx(nonce=0, tx_hash="0xa0", raw=b"raw a0")
    assert (row.chain_id, row.signer, row.nonce, row.hashes) == (5, ADDRESS, 0, ["0xa0"])
    assert (row.record, row.partner, row.step, row.generation) == (UUID(int=1), "vana", "register", 0)
    assert b"raw" not in bytes(row.raw)


def test_signing_again_returns_what_was_stored() -> None:
    book = DbLedger(taken())
    first = book.sign(item(), "register", 0, build("a"))

    assert book.sign(item(), "register", 0, build("b")) == first
    assert ChainTx.objects.count() == 1


def test_each_step_and_generation_has_a_nonce_of_its_own() -> None:
    book = DbLedger(taken())

    nonces = [
        book.sign(item(n), step, generation, build()).nonce
        for n, step, generation in [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0)]
    ]

    assert nonces == [0, 1, 2, 3]


@pytest.mark.parametrize(("stored", "pending", "expected"), [(None, 7, 7), (9, 7, 10), (3, 7, 7), (6, 7, 7)])
def test_the_next_nonce_is_above_the_books_and_the_nodes(stored: int | None, pending: int, expected: int) -> None:
    lease = taken()
    book = DbLedger(lease)
    if stored is not None:
        book.sign(item(9), "register", 0, lambda n: build()(stored))
    lease.note(SignerView(mined=0, pending=pending))

    assert book.sign(item(), "register", 0, build()).nonce == expected


def test_a_full_signer_waits_until_something_is_mined() -> None:
    lease = taken(max_unmined=2)
    book = DbLedger(lease)
    for number in (1, 2):
        book.sign(item(number), "register", 0, build())

    with pytest.raises(NotReady, match="as many transactions on their way as is allowed"):
        book.sign(item(3), "register", 0, build())
    assert book.sign(item(1), "register", 0, build()).nonce == 0

    lease.note(SignerView(mined=1, pending=2))
    assert book.sign(item(3), "register", 0, build()).nonce == 2


def test_room_that_comes_is_kept_for_those_who_were_turned_away() -> None:
    lease = taken(max_unmined=2)
    book = DbLedger(lease)
    for number in (1, 2):
        book.sign(item(number), "register", 0, build())
    for _ in range(2):
        with pytest.raises(NotReady):
            book.sign(item(3), "register", 0, build())
    assert (lease.room(), lease.room_for_newcomers()) == (0, 0)

    lease.note(SignerView(mined=2, pending=2))
    assert (lease.room(), lease.room_for_newcomers()) == (2, 1)

    book.sign(item(3), "register", 0, build())
    assert (lease.room(), lease.room_for_newcomers()) == (1, 1)


def test_a_worker_that_lost_the_lease_signs_nothing() -> None:
    book = DbLedger(taken())
    Signer.objects.update(lease_token="another")

    with pytest.raises(NotReady, match=r"^The signer's lease went to another worker\.$"):
        book.sign(item(), "register", 0, build())

    assert ChainTx.objects.count() == 0


def test_a_nonce_that_another_took_meanwhile_is_passed_over() -> None:
    lease = taken()
    book = DbLedger(lease)
    other = DbLedger(lease)
    raced: list[SignedTx] = []

    def lose_the_race(nonce: int) -> SignedTx:
        if not raced:
            raced.append(other.sign(item(2), "register", 0, build("b")))
        return build()(nonce)

    signed = book.sign(item(1), "register", 0, lose_the_race)

    assert (raced[0].nonce, signed.nonce) == (0, 1)
    assert list(ChainTx.objects.order_by("nonce").values_list("nonce", "hashes")) == [(0, ["0xb0"]), (1, ["0xa1"])]


def test_a_step_that_another_signed_meanwhile_is_returned() -> None:
    lease = taken()
    raced: list[SignedTx] = []

    def lose_the_race(nonce: int) -> SignedTx:
        if not raced:
            raced.append(DbLedger(lease).sign(item(1), "register", 0, build("b")))
        return build()(nonce)

    assert DbLedger(lease).sign(item(1), "register", 0, lose_the_race) == raced[0]
    assert ChainTx.objects.count() == 1


def test_a_race_that_is_lost_again_and_again_ends_in_a_wait() -> None:
    lease = taken(max_unmined=99)
    book, races = DbLedger(lease), iter(range(100, 200))

    def always_lose(nonce: int) -> SignedTx:
        DbLedger(lease).sign(item(next(races)), "register", 0, build("b"))
        return build()(nonce)

    with pytest.raises(NotReady, match=r"^Another worker signs with this key; trying again\.$"):
        book.sign(item(1), "register", 0, always_lose)

    assert ChainTx.objects.filter(record=UUID(int=1)).count() == 0


def test_a_transaction_more_costs_one_statement_more() -> None:
    counts = []
    for number in (2, 12):
        book = DbLedger(taken(max_unmined=99))
        with CaptureQueriesContext(connection) as asked:
            for n in range(number):
                book.sign(item(100 * number + n), "register", 0, build())
        counts.append(len([one for one in asked if is_statement(one["sql"])]))
        Signer.objects.update(lease_until=NEVER)

    assert counts[1] - counts[0] == 10


def test_what_was_signed_is_returned_though_there_is_room_for_another() -> None:
    book = DbLedger(taken())
    first = book.sign(item(), "register", 0, build("a"))
    book.replace(item(), "register", 0, build("b"))

    again = DbLedger(book._lease).sign(item(), "register", 0, build("c"))

    assert (first.earlier, again.tx_hash, again.earlier) == ((), "0xb0", ("0xa0",))
    assert ChainTx.objects.count() == 1


def test_a_lease_that_is_lost_is_noticed_while_many_are_signed() -> None:
    book = DbLedger(taken())
    book.sign(item(1), "register", 0, build())
    Signer.objects.update(lease_token="another")
    assert book._looked_at is not None
    book._looked_at -= 2.0

    with pytest.raises(NotReady, match="went to another worker"):
        book.sign(item(2), "register", 0, build())

    assert ChainTx.objects.count() == 1


# --- replacing and finding


def test_replacing_signs_at_the_same_nonce_and_keeps_both_hashes() -> None:
    book = DbLedger(taken())
    book.sign(item(), "register", 0, build("a"))

    again = book.replace(item(), "register", 0, build("b"))

    assert again == SignedTx(nonce=0, tx_hash="0xb0", raw=b"raw b0")
    assert ChainTx.objects.get().hashes == ["0xa0", "0xb0"]
    assert book.find(item(), "register") == [SignedTx(nonce=0, tx_hash="0xa0", raw=b""), again]


def test_replacing_with_the_same_bytes_changes_nothing() -> None:
    book = DbLedger(taken())
    book.sign(item(), "register", 0, build("a"))
    before = ChainTx.objects.values().get()

    book.replace(item(), "register", 0, build("a"))

    assert ChainTx.objects.values().get() == before


def test_a_worker_that_lost_the_lease_replaces_nothing() -> None:
    book = DbLedger(taken())
    book.sign(item(), "register", 0, build("a"))
    Signer.objects.update(lease_token="another")

    with pytest.raises(NotReady):
        book.replace(item(), "register", 0, build("b"))

    assert ChainTx.objects.get().hashes == ["0xa0"]


def test_find_returns_this_records_step_oldest_generation_first() -> None:
    book = DbLedger(taken())
    for number, step, generation in [(1, "a", 1), (1, "a", 0), (1, "b", 0), (2, "a", 0)]:
        book.sign(item(number), step, generation, build())

    assert [tx.nonce for tx in book.find(item(1), "a")] == [1, 0]
    assert book.find(item(3), "a") == []


def test_what_is_unmined_comes_in_nonce_order_with_its_newest_bytes() -> None:
    lease = taken()
    book = DbLedger(lease)
    for number in (1, 2, 3):
        book.sign(item(number), "register", 0, build())
    book.replace(item(3), "register", 0, build("b"))
    lease.note(SignerView(mined=1, pending=3))

    assert [(tx.nonce, tx.raw) for tx in lease.unmined()] == [(1, b"raw a1"), (2, b"raw b2")]


def test_a_row_opens_for_its_own_record_only() -> None:
    book = DbLedger(taken())
    book.sign(item(), "register", 0, build())
    ChainTx.objects.update(record=UUID(int=2))

    with pytest.raises(ledger.vault.VaultError):
        book.find(item(2), "register")


def test_a_damaged_transaction_is_logged_and_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    lease = taken()
    for number in (1, 2):
        DbLedger(lease).sign(item(number), "register", 0, build())
    ChainTx.objects.filter(nonce=0).update(raw=b"damaged")

    assert [tx.nonce for tx in lease.unmined()] == [1]

    [told] = [r for r in caplog.records if r.message == "ledger.damaged"]
    assert (told.nonce, told.record) == (0, str(UUID(int=1)))


def test_a_transaction_whose_key_is_missing_is_an_error_of_the_configuration(settings: Any) -> None:
    lease = taken()
    DbLedger(lease).sign(item(), "register", 0, build())
    settings.VAULT_KEYS = [vault.new_key()]

    with pytest.raises(MisconfiguredError, match=r"^vana: a signed transaction cannot be opened: no key "):
        lease.unmined()


def test_what_is_put_instead_of_a_refused_transaction_is_stored_before_it_is_sent() -> None:
    lease = taken()
    DbLedger(lease).sign(item(), "register", 0, build("a"))
    DbLedger(lease).sign(item(2), "register", 0, build("a"))

    lease.note(SignerView(mined=0, pending=0, instead=(build("b")(0),)))

    assert [(tx.nonce, tx.raw) for tx in lease.unmined()] == [(0, b"raw b0"), (1, b"raw a1")]
    assert ChainTx.objects.get(nonce=0).hashes == ["0xa0", "0xb0"]
    assert DbLedger(lease).find(item(), "register")[1] == build("b")(0)


def test_a_worker_that_lost_the_lease_puts_nothing_instead() -> None:
    lease = taken()
    DbLedger(lease).sign(item(), "register", 0, build("a"))
    Signer.objects.update(lease_token="another")

    lease.note(SignerView(mined=0, pending=0, instead=(build("b")(0),)))

    assert ChainTx.objects.get().hashes == ["0xa0"]
