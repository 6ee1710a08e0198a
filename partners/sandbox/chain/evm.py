"""The execution layer: py-evm makes blocks and answers calls. It keeps no chain and no mempool; node.py does.

py-evm is used directly. eth-tester's PyEVMBackend would add a pending block of its own, without nonce gaps,
replacement or reorgs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth._utils.address import generate_contract_address
from eth.chains.base import MiningChain
from eth.consensus import ConsensusApplier, NoProofConsensus
from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db import get_db_backend
from eth.exceptions import Revert
from eth.vm.forks import CancunVM
from eth.vm.spoof import SpoofTransaction
from eth_utils import ValidationError

COINBASE = b"\x00" * 19 + b"\xcb"


@dataclass(frozen=True, kw_only=True)
class Mined:
    """One transaction in a block, with what it did."""

    tx: Any
    status: int
    gas_used: int
    cumulative_gas: int
    logs: Sequence[Any]
    bloom: int
    created: bytes | None


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block and its transactions; `header` is py-evm's."""

    header: Any
    mined: tuple[Mined, ...]

    @property
    def number(self) -> int:
        return int(self.header.block_number)

    @property
    def hash(self) -> bytes:
        return bytes(self.header.hash)


@dataclass(frozen=True, kw_only=True)
class Call:
    """What eth_call and eth_estimateGas simulate; `to` is empty for a creation."""

    sender: bytes
    to: bytes
    data: bytes
    value: int
    gas: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulated call gave: `revert` holds the revert data, `error` another failure of the EVM."""

    output: bytes
    gas_used: int
    refund: int
    revert: bytes | None = None
    error: str | None = None


class InsufficientFundsError(Exception):
    """The sender of a simulated call does not hold the value it sends."""


class Evm:
    """Executes blocks and calls on top of any header it has made."""

    def __init__(self, *, chain_id: int, gas_limit: int, balances: Mapping[bytes, int], timestamp: int) -> None:
        vms = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, CancunVM),))
        chain_class = MiningChain.configure(__name__="SandboxChain", vm_configuration=vms, chain_id=chain_id)
        accounts = {
            address: {"balance": balance, "nonce": 0, "code": b"", "storage": {}}
            for address, balance in balances.items()
        }
        genesis = {
            "coinbase": COINBASE,
            "difficulty": POST_MERGE_DIFFICULTY,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "extra_data": b"",
            "gas_limit": gas_limit,
            "timestamp": timestamp,
        }
        self._chain = chain_class.from_genesis(get_db_backend(), genesis, accounts)
        self._decode = CancunVM.get_transaction_builder().decode
        self.genesis = Block(header=self._chain.get_canonical_head(), mined=())

    def decode(self, raw: bytes) -> Any:
        """Return the transaction in `raw`. Raises ValueError when it is not a signed transaction."""
        try:
            tx = self._decode(raw)
            tx.check_signature_validity()
        except Exception as error:  # rlp, eth_keys and py-evm each raise kinds of their own
            raise ValueError(str(error)) from error
        return tx

    def unsigned(self, *, nonce: int, max_fee: int, tip: int, gas: int, to: bytes, data: bytes, value: int = 0) -> Any:
        """Return a transaction of type 2, to be signed with an eth_keys private key or simulated."""
        return CancunVM.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=tip,
            max_fee_per_gas=max_fee,
            gas=gas,
            to=to,
            value=value,
            data=data,
            access_list=(),
        )

    def next_header(self, parent: Any, *, timestamp: int, extra: bytes = b"") -> Any:
        """Return the header that a block on `parent` starts with; the same gas limit, the next base fee."""
        return self._chain.create_header_from_parent(
            parent, timestamp=timestamp, gas_limit=parent.gas_limit, coinbase=COINBASE, extra_data=extra
        )

    def make_block(self, header: Any, txs: Sequence[Any], balances: Mapping[bytes, int]) -> Block:
        """Execute `txs` on a header of `next_header`; leaves out what does not fit or cannot be paid."""
        vm = self._chain.get_vm(header)
        for address, balance in balances.items():
            vm.state.set_balance(address, balance)
        mined: list[Mined] = []
        receipts: list[Any] = []
        for tx in txs:
            before = header.gas_used
            try:
                receipt, _ = vm.apply_transaction(header, tx)
            except ValidationError:
                continue
            header = vm.add_receipt_to_header(header, receipt)
            receipts.append(receipt)
            mined.append(_mined(tx, receipt, before))
        included = [m.tx for m in mined]
        block = vm.set_block_transactions_and_withdrawals(vm.get_block(), header, included, receipts)
        final = vm.finalize_block(block).block
        self._chain.chaindb.persist_header(final.header)
        return Block(header=final.header, mined=tuple(mined))

    def state(self, header: Any) -> Any:
        """Return the state after `header`, for reading."""
        return self._chain.get_vm(header).state

    def simulate(self, header: Any, call: Call) -> Outcome:
        """Run `call` on the state after `header`, for free; nothing is kept."""
        vm = self._chain.get_vm(header.copy(base_fee_per_gas=0, gas_used=0))
        unsigned = self.unsigned(
            nonce=vm.state.get_nonce(call.sender),
            max_fee=0,
            tip=0,
            gas=call.gas,
            to=call.to,
            data=call.data,
            value=call.value,
        )
        if vm.state.get_balance(call.sender) < call.value:
            raise InsufficientFundsError
        if call.gas < unsigned.intrinsic_gas:
            return Outcome(output=b"", gas_used=call.gas, refund=0, error="intrinsic gas too low")
        return _outcome(call, vm.state.apply_transaction(SpoofTransaction(unsigned, from_=call.sender)))


def _mined(tx: Any, receipt: Any, gas_before: int) -> Mined:
    return Mined(
        tx=tx,
        status=int(receipt.state_root == b"\x01"),
        gas_used=receipt.gas_used - gas_before,
        cumulative_gas=receipt.gas_used,
        logs=receipt.logs,
        bloom=receipt.bloom,
        created=None if tx.to else generate_contract_address(tx.sender, tx.nonce),
    )


def _outcome(call: Call, computation: Any) -> Outcome:
    used = call.gas - computation.get_gas_remaining()
    if not computation.is_error:
        return Outcome(output=computation.output, gas_used=used, refund=computation.get_gas_refund())
    if isinstance(computation.error, Revert):
        return Outcome(output=b"", gas_used=used, refund=0, revert=computation.output)
    return Outcome(output=b"", gas_used=used, refund=0, error=str(computation.error) or "execution failed")
