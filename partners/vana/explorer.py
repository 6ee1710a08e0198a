"""Where people can look at our transactions: a block explorer of the Blockscout kind. Asks nothing, knows addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

EXPLORERS: Mapping[str, str] = {"1480": "https://vanascan.io", "14800": "https://moksha.vanascan.io"}  # by chain id
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def find_links(options: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return (words, URL) of each transaction that the receipt names; nothing on a chain without a known explorer."""
    base = str(options.get("explorer_url") or EXPLORERS.get(str(options.get("chain_id")), "")).rstrip("/")
    reward = receipt.get("reward")
    named = [("Registration", receipt.get("tx_hash"))]
    named += [("Reward", reward.get("tx_hash"))] if isinstance(reward, Mapping) else []
    for words, tx_hash in named:
        if base and isinstance(tx_hash, str) and _HASH.fullmatch(tx_hash):
            yield f"{words} in the block explorer", f"{base}/tx/{tx_hash}"
