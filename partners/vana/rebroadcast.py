"""What the node has forgotten of our signer's transactions is sent again, so that no nonce stays empty.

A node may refuse one for good (too much gas for a block, say). Then a transfer of nothing takes its nonce, since none
after it could ever be mined; the record's job finds its nonce used and makes another transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from partners.base import SignedTx, SignerView
from partners.errors import TransientError
from partners.vana.chain import Action, Chain
from partners.vana.fees import price
from partners.vana.options import Settings
from partners.vana.signature import is_void
from partners.vana.transaction import sign_call, transfer_nothing

log = logging.getLogger(__name__)


def look_at_signer(chain: Chain, settings: Settings, unmined: Sequence[SignedTx]) -> SignerView:
    """Broadcast again what the node does not know, in nonce order; say where the chain stands."""
    mined = chain.nonce(settings.signer, "latest")
    waiting = sorted((tx for tx in unmined if tx.nonce >= mined and tx.raw), key=lambda tx: tx.nonce)
    known = chain.known([tx.tx_hash for tx in waiting])
    refused = [tx for tx, is_known in zip(waiting, known, strict=True) if not is_known and not _is_taken(chain, tx)]
    pending = chain.nonce(settings.signer, "pending")
    hopeless = [tx.nonce for tx in refused if tx.nonce == pending and not is_void(tx.raw, settings.signer)]
    instead = [_make_void(chain, settings, nonce) for nonce in hopeless]
    return SignerView(mined=mined, pending=pending, instead=tuple(tx for tx in instead if tx))


def _is_taken(chain: Chain, tx: SignedTx) -> bool:
    """Broadcast; what the node itself refuses must not keep the later ones from being sent."""
    try:
        chain.send(tx.raw)
    except TransientError as error:
        if not error.code:
            raise
        log.warning("vana does not take transaction %s: %s", tx.tx_hash, error.message)
        return False
    return True


def _make_void(chain: Chain, settings: Settings, nonce: int) -> SignedTx | None:
    """Sign a transfer of nothing, unless gas is too dear now."""
    nothing = transfer_nothing(settings.signer)
    found = chain.estimate(settings.signer, Action(to=nothing["to"], data=nothing["data"]))
    fees = price(found.head.base_fee_wei, found.tip_wei, settings.max_fee_wei)
    return sign_call(settings, nonce, nothing, fees) if fees else None
