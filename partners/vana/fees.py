"""What a transaction may cost: first price and raised price. Pure; amounts in wei per unit of gas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fees:
    """The two fee fields of EIP-1559."""

    max_fee: int
    tip: int


def price(base_fee: int, tip: int, cap: int) -> Fees | None:
    """Return fees that last while the base fee doubles, never above `cap`; None when even now is above it."""
    if base_fee + tip > cap:
        return None
    return Fees(max_fee=min(2 * base_fee + tip, cap), tip=tip)


def raise_price(old: Fees, base_fee: int, tip: int, cap: int) -> Fees | None:
    """Return fees by which a node takes a replacement: an eighth more on both fields, at least today's price.

    Nodes want a tenth more (geth's default); None when that is above `cap`.
    """
    max_fee = max(_eighth_more(old.max_fee), min(2 * base_fee + tip, cap))
    raised = Fees(max_fee=max_fee, tip=max(_eighth_more(old.tip), min(tip, max_fee)))
    return raised if raised.max_fee <= cap else None


def _eighth_more(wei: int) -> int:
    return max(-(-wei * 9 // 8), wei + 1)
