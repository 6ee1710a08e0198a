"""What the node has forgotten of our signer's transactions is sent again, so that no nonce stays empty."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from partners.base import SignedTx, SignerView
from partners.errors import TransientError
from partners.vana.chain import Chain

log = logging.getLogger(__name__)


def look_at_signer(chain: Chain, address: str, unmined: Sequence[SignedTx]) -> SignerView:
    """Broadcast again what the node does not know, in nonce order; say where the chain stands."""
    mined = chain.nonce(address, "latest")
    waiting = sorted((tx for tx in unmined if tx.nonce >= mined and tx.raw), key=lambda tx: tx.nonce)
    for tx, known in zip(waiting, chain.known([tx.tx_hash for tx in waiting]), strict=True):
        if not known:
            _send(chain, tx)
    return SignerView(mined=mined, pending=chain.nonce(address, "pending"))


def _send(chain: Chain, tx: SignedTx) -> None:
    """Broadcast; what the node itself refuses must not keep the later ones from being sent."""
    try:
        chain.send(tx.raw)
    except TransientError as error:
        if not error.code:
            raise
        log.warning("vana does not take transaction %s: %s", tx.tx_hash, error.message)
