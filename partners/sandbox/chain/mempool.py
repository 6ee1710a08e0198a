"""Transactions that wait for a block, by the rules of geth's pool: by sender and nonce, gaps wait, 10 % to replace."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

PRICE_BUMP_PERCENT = 10


class RejectedError(Exception):
    """The pool does not take a transaction; the message is what geth says."""


@dataclass(frozen=True, kw_only=True)
class PoolTx:
    """A signed transaction as the pool sees it; `tx` is py-evm's."""

    hash: str
    sender: bytes
    nonce: int
    max_fee: int
    max_tip: int
    gas: int
    value: int
    raw: bytes = field(repr=False)
    tx: Any = field(repr=False, compare=False)

    @property
    def cost(self) -> int:
        """Return what the sender must hold for it, in wei."""
        return self.gas * self.max_fee + self.value


class Mempool:
    """The waiting transactions of all senders. Not thread-safe: the node's lock guards it."""

    def __init__(self) -> None:
        self._by_sender: dict[bytes, dict[int, PoolTx]] = {}
        self._by_hash: dict[str, PoolTx] = {}
        self._arrival: dict[str, int] = {}
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, tx_hash: str) -> PoolTx | None:
        """Return the waiting transaction of this hash, or None."""
        return self._by_hash.get(tx_hash)

    def hashes(self) -> list[str]:
        """Return the hashes of all that wait, in order of arrival."""
        return sorted(self._by_hash, key=self._arrival.__getitem__)

    def add(self, tx: PoolTx, *, mined_nonce: int, balance: int) -> None:
        """Take `tx`, replacing the one at its nonce. Raises RejectedError; a gap before it is no error."""
        if tx.hash in self._by_hash:
            raise RejectedError("already known")
        if tx.nonce < mined_nonce:
            raise RejectedError(f"nonce too low: next nonce {mined_nonce}, tx nonce {tx.nonce}")
        if tx.max_tip > tx.max_fee:
            raise RejectedError("max priority fee per gas higher than max fee per gas")
        queue = self._by_sender.get(tx.sender, {})
        held = queue.get(tx.nonce)
        queued_cost = sum(other.cost for other in queue.values() if other is not held)
        if queued_cost + tx.cost > balance:
            overshot = queued_cost + tx.cost - balance
            raise RejectedError(
                f"insufficient funds for gas * price + value: balance {balance}, queued cost {queued_cost}, "
                f"tx cost {tx.cost}, overshot {overshot}"
            )
        if held is not None:
            if not (_is_bumped(tx.max_fee, held.max_fee) and _is_bumped(tx.max_tip, held.max_tip)):
                raise RejectedError("replacement transaction underpriced")
            self.drop(held.hash)
        self._by_sender.setdefault(tx.sender, {})[tx.nonce] = tx
        self._by_hash[tx.hash] = tx
        self._arrived += 1
        self._arrival[tx.hash] = self._arrived

    def drop(self, tx_hash: str) -> bool:
        """Forget a transaction, as a node under memory pressure does; say whether it was there."""
        tx = self._by_hash.pop(tx_hash, None)
        if tx is None:
            return False
        del self._arrival[tx_hash]
        del self._by_sender[tx.sender][tx.nonce]
        return True

    def prune(self, mined_nonce: Callable[[bytes], int], balance: Callable[[bytes], int]) -> None:
        """Forget what cannot be mined any more: its nonce is used, or its sender cannot pay for it."""
        for sender, queue in self._by_sender.items():
            if queue:
                used, held = mined_nonce(sender), balance(sender)
                for tx in [tx for tx in queue.values() if tx.nonce < used or tx.cost > held]:
                    self.drop(tx.hash)

    def pending_nonce(self, sender: bytes, mined_nonce: int) -> int:
        """Return the next free nonce after those that wait without a gap."""
        queue = self._by_sender.get(sender, {})
        while mined_nonce in queue:
            mined_nonce += 1
        return mined_nonce

    def ready(
        self, mined_nonce: Callable[[bytes], int], *, base_fee: int, at_most: int, first: Sequence[str] = ()
    ) -> list[PoolTx]:
        """Return what the next block takes: nonces in order, the best tip first, then by arrival.

        `first` puts some transactions before all others, in this order, as far as their nonces allow.
        """
        rank = {tx_hash: index for index, tx_hash in enumerate(first)}

        def key(tx: PoolTx) -> tuple[int, int, int]:
            tip = min(tx.max_tip, tx.max_fee - base_fee)
            return rank.get(tx.hash, len(rank)), -tip, self._arrival[tx.hash]

        heads: list[tuple[tuple[int, int, int], PoolTx]] = []
        for tx in self._heads(mined_nonce):
            if tx.max_fee >= base_fee:
                heapq.heappush(heads, (key(tx), tx))
        taken: list[PoolTx] = []
        while heads and len(taken) < at_most:
            _, tx = heapq.heappop(heads)
            taken.append(tx)
            after = self._by_sender[tx.sender].get(tx.nonce + 1)
            if after is not None and after.max_fee >= base_fee:
                heapq.heappush(heads, (key(after), after))
        return taken

    def _heads(self, mined_nonce: Callable[[bytes], int]) -> Iterable[PoolTx]:
        for sender, queue in self._by_sender.items():
            if queue and (head := queue.get(mined_nonce(sender))):
                yield head


def _is_bumped(new: int, old: int) -> bool:
    return new * 100 >= old * (100 + PRICE_BUMP_PERCENT)
