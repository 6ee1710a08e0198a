"""A node: the chain of blocks, the mempool, an index from hash to receipt, and the levers to mine, drop and reorg.

One lock guards it all: every public method may be called by any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from eth_utils import encode_hex

from partners.sandbox.chain.evm import Block, Call, Evm, Mined, Outcome
from partners.sandbox.chain.mempool import Mempool, PoolTx, RejectedError

MAX_BLOCK_TXS = 60
DYNAMIC_FEE = 2


class Node:
    """The chain as one node knows it."""

    def __init__(self, evm: Evm, *, chain_id: int, finalized_depth: int = 16) -> None:
        self.lock = threading.RLock()
        self.chain_id = chain_id
        self.finalized_depth = finalized_depth
        self.evm = evm
        self.pool = Mempool()
        self.blocks: list[Block] = [evm.genesis]
        self._places: dict[str, tuple[int, int]] = {}
        self._numbers: dict[bytes, int] = {evm.genesis.hash: 0}
        self._time_offset_s = 0
        self._balances: dict[bytes, int] = {}
        self._forks = 0

    @property
    def head(self) -> Block:
        """Return the latest block."""
        return self.blocks[-1]

    def find_block(self, block_hash: bytes) -> Block | None:
        """Return the canonical block of this hash, or None."""
        with self.lock:
            number = self._numbers.get(block_hash)
            return None if number is None else self.blocks[number]

    def find_mined(self, tx_hash: str) -> tuple[Block, int, Mined] | None:
        """Return block, index and transaction of a mined hash, or None."""
        with self.lock:
            place = self._places.get(tx_hash)
            if place is None:
                return None
            block = self.blocks[place[0]]
            return block, place[1], block.mined[place[1]]

    def nonce(self, address: bytes, block: Block | None = None) -> int:
        """Return how many transactions of `address` are mined up to `block` (the head)."""
        with self.lock:
            return int(self.evm.state((block or self.head).header).get_nonce(address))

    def state(self, block: Block) -> Any:
        """Return the state after `block`; hold the lock while reading."""
        return self.evm.state(block.header)

    def simulate(self, block: Block, call: Call) -> Outcome:
        """Run a call on the state after `block`."""
        with self.lock:
            return self.evm.simulate(block.header, call)

    def read_tx(self, raw: bytes) -> PoolTx:
        """Return the signed transaction in `raw`. Raises RejectedError: unreadable, or another chain."""
        try:
            tx = self.evm.decode(raw)
        except ValueError as error:
            raise RejectedError(f"rlp: cannot decode the transaction: {error}") from error
        if tx.type_id not in (None, DYNAMIC_FEE):
            raise RejectedError("transaction type not supported")
        if tx.chain_id != self.chain_id:
            raise RejectedError(f"invalid sender: invalid chain id for signer: have {tx.chain_id} want {self.chain_id}")
        return PoolTx(
            hash=encode_hex(tx.hash),
            sender=tx.sender,
            nonce=tx.nonce,
            max_fee=tx.max_fee_per_gas,
            max_tip=tx.max_priority_fee_per_gas,
            gas=tx.gas,
            value=tx.value,
            raw=raw,
            tx=tx,
        )

    def submit(self, tx: PoolTx) -> None:
        """Put a transaction into the mempool. Raises RejectedError."""
        if tx.gas > self.head.header.gas_limit:
            raise RejectedError("exceeds block gas limit")
        if tx.gas < tx.tx.intrinsic_gas:
            raise RejectedError(f"intrinsic gas too low: gas {tx.gas}, minimum needed {tx.tx.intrinsic_gas}")
        with self.lock:
            state = self.evm.state(self.head.header)
            self.pool.add(tx, mined_nonce=state.get_nonce(tx.sender), balance=state.get_balance(tx.sender))

    def mine(self, blocks: int = 1, *, at_most: int = MAX_BLOCK_TXS, first: Sequence[str] = ()) -> None:
        """Add blocks of up to `at_most` waiting transactions each, empty ones when none wait."""
        with self.lock:
            for _ in range(blocks):
                self._mine_one(at_most, first)

    def increase_time(self, seconds: int) -> None:
        """Let the chain's clock jump ahead with the next block, counted from the latest."""
        with self.lock:
            ahead_s = self.head.header.timestamp - int(time.time())  # fast blocks outrun the real clock
            self._time_offset_s = max(self._time_offset_s, ahead_s) + seconds

    def set_balance(self, address: bytes, wei: int) -> None:
        """Give `address` exactly this balance, by a block of its own."""
        with self.lock:
            self._balances[address] = wei
            self._mine_one(0, ())

    def drop(self, tx_hash: str) -> bool:
        """Forget a waiting transaction; say whether it was there."""
        with self.lock:
            return self.pool.drop(tx_hash)

    def reorg(self, depth: int, *, drop: Sequence[str] = (), first: Sequence[str] = (), empty: bool = False) -> None:
        """Replace the last `depth` blocks by `depth` + 1 others.

        What they held goes back to the mempool, but for `drop`, which is forgotten. The new blocks take it up again,
        `first` first; with `empty` they take nothing, and it waits for the block after.
        """
        with self.lock:
            depth = min(depth, len(self.blocks) - 1)
            orphaned = [mined for block in self.blocks[len(self.blocks) - depth :] for mined in block.mined]
            for block in self.blocks[len(self.blocks) - depth :]:
                del self._numbers[block.hash]
            del self.blocks[len(self.blocks) - depth :]
            self._forks += 1
            self._take_back(orphaned, set(drop))
            for _ in range(depth + 1):
                self._mine_one(0 if empty else MAX_BLOCK_TXS, first)

    def _take_back(self, orphaned: Sequence[Mined], dropped: set[str]) -> None:
        for mined in orphaned:
            tx_hash = encode_hex(mined.tx.hash)
            del self._places[tx_hash]
            if tx_hash not in dropped:
                try:
                    self.submit(self.read_tx(mined.tx.encode()))
                except RejectedError:
                    continue  # its sender was paid in a block that is gone
        for tx_hash in dropped:
            self.pool.drop(tx_hash)

    def _mine_one(self, at_most: int, first: Sequence[str]) -> None:
        parent = self.head.header
        timestamp = max(parent.timestamp + 1, int(time.time()) + self._time_offset_s)
        # A fork must differ from what it replaces even when it holds the same: hence the mark.
        header = self.evm.next_header(parent, timestamp=timestamp, extra=b"fork %d" % self._forks)
        state = self.evm.state(parent)
        txs = self.pool.ready(state.get_nonce, base_fee=header.base_fee_per_gas, at_most=at_most, first=first)
        block = self.evm.make_block(header, [tx.tx for tx in txs], self._balances)
        self._balances = {}
        self.blocks.append(block)
        self._numbers[block.hash] = block.number
        for index, mined in enumerate(block.mined):
            tx_hash = encode_hex(mined.tx.hash)
            self._places[tx_hash] = (block.number, index)
            self.pool.drop(tx_hash)
        after = self.evm.state(block.header)
        self.pool.prune(after.get_nonce, after.get_balance)
