"""The signers' book behind partners.base.Ledger: one lease a signer, one row a nonce.

Only a holder of the signer's lease signs. Inserting the row is the allocation of its nonce; what was inserted is
broadcast again by whoever holds the lease next, so that a nonce is never left empty.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max

from dataunion import vault
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import NEVER, ChainTx, Signer, has_ended
from partners.base import Item, SignedTx, SignerView
from partners.errors import MisconfiguredError, NotReady

log = logging.getLogger(__name__)

_RACES = 20
_LOOK_S = 1.0  # between two looks whether the lease is still ours, while many are signed; far less than it lasts
_FOREVER_S = float("inf")  # waiting for one's turn is no failure, however long


@dataclass
class SignerLease:
    """A held signer. `view` is what the chain said of it when it was taken."""

    row: Signer
    token: str
    max_unmined: int
    view: SignerView
    turned_away: set[str] = field(default_factory=set)  # records that wait for room; it is kept for them
    _last: int | None = None  # the book's highest nonce; None while it must be read
    _unmined: int | None = None

    def renew(self, now: datetime) -> bool:
        """Prolong; False when it was lost."""
        until = now + timedelta(seconds=conf().sync_lease_s)
        return Signer.objects.filter(pk=self.row.pk, lease_token=self.token).update(lease_until=until) == 1

    def let_go(self) -> None:
        """Let another worker have it."""
        Signer.objects.filter(pk=self.row.pk, lease_token=self.token).update(lease_token="", lease_until=NEVER)

    def room(self) -> int:
        """Return how many transactions more may be signed now."""
        if self._unmined is None:
            self._unmined = int(_open_rows(self.row, self.view.mined).count())
        return self.max_unmined - self._unmined

    def next_nonce(self) -> int:
        """Return the nonce that neither the book nor the node knows."""
        if self._last is None:
            last = _open_rows(self.row, 0).aggregate(last=Max("nonce"))["last"]
            self._last = -1 if last is None else last
        return max(self.view.pending, self._last + 1)

    def is_written(self, nonce: int) -> None:
        """Count one more row of the book, which only the lease's holder writes."""
        self._last, self._unmined = nonce, None if self._unmined is None else self._unmined + 1

    def read_again(self) -> None:
        """Trust nothing that was read of the book: somebody else wrote in it, or the chain went on."""
        self._last = self._unmined = None

    def room_for_newcomers(self) -> int:
        """Return for how many records there is room that never began, beside those that were turned away."""
        return max(0, self.room() - len(self.turned_away))

    def unmined(self) -> list[SignedTx]:
        """Return the transactions that the chain had not mined when last looked at, in nonce order.

        Raises MisconfiguredError when the key that sealed one is missing; a damaged one is logged and left out.
        """
        found = []
        for tx in _open_rows(self.row, self.view.mined).order_by("nonce"):
            try:
                found.append(_signed(tx, len(tx.hashes) - 1))
            except vault.UnknownKeyError as error:
                raise MisconfiguredError(f"{tx.partner}: a signed transaction cannot be opened: {error}") from None
            except vault.VaultError:
                log.error("ledger.damaged", extra={"signer": tx.signer, "nonce": tx.nonce, "record": str(tx.record)})
        return found

    def note(self, view: SignerView) -> None:
        """Remember what the chain says now, and keep what is to be sent instead of what a node refuses."""
        self.view = view
        self.read_again()
        Signer.objects.filter(pk=self.row.pk).update(mined=view.mined, pending=view.pending)
        for signed in view.instead:
            if self.renew(db_now()):
                _put(_open_rows(self.row, signed.nonce).get(nonce=signed.nonce), signed)
                log.warning("ledger.refused", extra={"signer": self.row.address, "nonce": signed.nonce})


def take_signer(*, chain_id: int, address: str, max_unmined: int) -> SignerLease | None:
    """Take the signer's lease, or None while another worker holds it."""
    try:
        with transaction.atomic():
            row, _ = Signer.objects.get_or_create(chain_id=chain_id, address=address)
    except IntegrityError:
        row = Signer.objects.get(chain_id=chain_id, address=address)
    now, token = db_now(), secrets.token_hex(16)
    until = now + timedelta(seconds=conf().sync_lease_s)
    free = Signer.objects.filter(has_ended("lease_until", now, lasts_s=conf().sync_lease_s), pk=row.pk)
    taken = free.update(lease_token=token, lease_until=until)
    view = SignerView(mined=row.mined, pending=row.pending)
    return SignerLease(row=row, token=token, max_unmined=max_unmined, view=view) if taken else None


def _open_rows(signer: Signer, mined: int) -> Any:
    return ChainTx.objects.filter(chain_id=signer.chain_id, signer=signer.address, nonce__gte=mined)


def _signed(tx: ChainTx, index: int) -> SignedTx:
    """Return one of a row's signatures; only the newest one's bytes are kept."""
    newest = index == len(tx.hashes) - 1
    raw = vault.open_sealed(bytes(tx.raw), "chaintxs", tx.record, tx.partner) if newest else b""
    return SignedTx(nonce=tx.nonce, tx_hash=tx.hashes[index], raw=raw, earlier=tuple(tx.hashes[:index]))


def _put(tx: ChainTx, signed: SignedTx) -> None:
    """Let a row's nonce be used by another transaction; the old hash stays on file."""
    tx.hashes = [*tx.hashes, signed.tx_hash]
    tx.raw = _seal(signed, tx.record, tx.partner)
    tx.save(update_fields=["hashes", "raw"])


def _seal(signed: SignedTx, record: UUID, partner: str) -> bytes:
    return vault.seal(signed.raw, "chaintxs", record, partner)


class DbLedger:
    """partners.base.Ledger on ChainTx rows. Shape of a row's hashes: every hash of that nonce, oldest first."""

    def __init__(self, lease: SignerLease) -> None:
        self._lease = lease
        self._signer = lease.row
        self._looked_at: float | None = None

    def sign(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Return the stored transaction of (record, step, generation), or sign one at the next free nonce.

        A row is looked for only where it may be there: no room for another, or its place is taken.
        """
        for _ in range(_RACES):
            signed = self._sign_first(item, step, generation, build) if self._lease.room() > 0 else None
            row = None if signed else self._rows(item, step).filter(generation=generation).first()
            if row is not None:
                signed = _signed(row, len(row.hashes) - 1)
            if signed:
                self._lease.turned_away.discard(item.record_id)
                return signed
            self._demand_room(item)
        raise NotReady("Another worker signs with this key; trying again.", after_s=1.0, at_most_s=_FOREVER_S)

    def _demand_room(self, item: Item) -> None:
        if self._lease.room() < 1:
            self._lease.turned_away.add(item.record_id)
            why = "The signer has as many transactions on their way as is allowed."
            raise NotReady(why, after_s=2.0, at_most_s=_FOREVER_S)

    def _sign_first(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx | None:
        """Sign at the next nonce; None where that nonce, or the place of this transaction, is taken."""
        signed = build(self._lease.next_nonce())
        if self._looked_at is None or time.monotonic() - self._looked_at > _LOOK_S:
            self._keep_lease()
        if self._insert(item, step, generation, signed):
            self._lease.is_written(signed.nonce)
            return signed
        self._lease.read_again()
        return None

    def _insert(self, item: Item, step: str, generation: int, signed: SignedTx) -> bool:
        try:
            with transaction.atomic():
                ChainTx.objects.create(
                    chain_id=self._signer.chain_id,
                    signer=self._signer.address,
                    nonce=signed.nonce,
                    record=UUID(item.record_id),
                    partner=item.partner,
                    step=step,
                    generation=generation,
                    raw=_seal(signed, UUID(item.record_id), item.partner),
                    hashes=[signed.tx_hash],
                )
        except IntegrityError:
            return False
        return True

    def _keep_lease(self) -> None:
        if not self._lease.renew(db_now()):
            raise NotReady("The signer's lease went to another worker.", after_s=1.0, at_most_s=_FOREVER_S)
        self._looked_at = time.monotonic()

    def find(self, item: Item, step: str) -> Sequence[SignedTx]:
        """Return every transaction signed for this record and step, oldest first."""
        rows = self._rows(item, step).order_by("generation")
        return [_signed(row, index) for row in rows for index in range(len(row.hashes))]

    def replace(self, item: Item, step: str, generation: int, build: Callable[[int], SignedTx]) -> SignedTx:
        """Sign anew at the nonce of (record, step, generation); the old hash stays on file."""
        row = self._rows(item, step).get(generation=generation)
        signed = build(row.nonce)
        if signed.tx_hash not in row.hashes:
            self._keep_lease()
            _put(row, signed)
        return replace(signed, earlier=tuple(one for one in row.hashes if one != signed.tx_hash))

    def _rows(self, item: Item, step: str) -> Any:
        return ChainTx.objects.filter(record=UUID(item.record_id), partner=item.partner, step=step)
