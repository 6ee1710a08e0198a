"""The life of one transaction as four steps: prepare, sign, send, confirm. What it is for is a `Purpose`.

Each round: look at what the chain still lacks, make the one call for it, wait until that is settled, look again. A
signed transaction is forgotten only when its nonce is used up, deep in the chain, and none of its hashes is mined.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from partners.base import PUSH, Item, Ledger, Rewind, Saved, SignedTx, StepResult
from partners.errors import NotReady, PartnerError, PermanentError, TransientError
from partners.vana.chain import Action, Head, Receipt, Refused, Sight
from partners.vana.client import VanaClient
from partners.vana.fees import Fees, price, raise_price
from partners.vana.options import Settings
from partners.vana.signature import sign_transaction

log = logging.getLogger(__name__)

TRANSFER_GAS = 21_000
LONGEST_PAUSE_S = 3600.0
LOOKS = 2
DOUBTS = 4  # about three minutes at the default poll_s
WAIT_AT_MOST_S = 6 * 3600.0
DEAR_POLLS = 10  # how often is asked less than otherwise while gas is too dear


class Purpose(Protocol):
    """What a transaction is for: what the chain lacks, and what it gave back."""

    @property
    def name(self) -> str:
        """Return the name that its steps end with."""
        ...

    def look(self, item: Item) -> Action | Saved:
        """Ask the chain: return the call that it still needs, or what to save because all is there.

        Raises a PartnerError when neither can be.
        """
        ...

    def read(self, item: Item, receipt: Receipt) -> Saved | None:
        """Return what to save after a successful transaction; None: look again."""
        ...

    def refuse(self, refused: Refused) -> PartnerError:
        """Return the decision for a contract's refusal."""
        ...


@dataclass(frozen=True)
class Transaction:
    """The four steps for one purpose.

    *Shape* of what is saved under `tx_key`: {"generation": 0, "reverts": 0, "to": "0x…", "data": "0x…", "value": 0,
    "gas": 600000, "max_fee": 3, "tip": 1, "seen_at": 8, "nonce": 7, "raw": "…", "hashes": ["0x…"], "sent_at": 9}, both
    times as blocks, with "again" where it is to be signed again at its nonce, "void" where it became a transfer of 0,
    "missed" and "doubts" where looks are counted; between rounds only the first two.
    """

    client: VanaClient
    settings: Settings
    purpose: Purpose

    @property
    def tx_key(self) -> str:
        """Return the key under which the transaction is saved."""
        return f"{self.purpose.name}_tx"

    def prepare(self, item: Item) -> StepResult:
        """Look, simulate, and set gas and fees."""
        return self._ask_twice(item, f"prepare_{self.purpose.name}", self._prepare)

    def confirm(self, item: Item) -> StepResult:
        """Wait until the transaction is settled, and say what came of it."""
        return self._ask_twice(item, f"confirm_{self.purpose.name}", self._confirm)

    def _ask_twice(self, item: Item, step: str, act: Callable[[Item], StepResult]) -> StepResult:
        """Run a step; what speaks against the record for good is asked again before it is believed."""
        try:
            return act(item)
        except PermanentError as error:
            tx = self._tx(item)
            doubts = tx.get("doubts", 0) + 1
            return doubt(error, doubts, self.settings, step, {self.tx_key: {**tx, "doubts": doubts}})

    def _prepare(self, item: Item) -> StepResult:
        if has_moved(item):
            return Rewind(step="keys")
        tx = self._tx(item)
        if "raw" in tx:
            return {}
        found = self.purpose.look(item)
        if not isinstance(found, Action):
            return {**found, self.tx_key: _between(tx)}
        try:
            estimate = found.estimate or self.client.estimate(self.settings.signer, found)
        except Refused as refused:
            raise self.purpose.refuse(refused) from None
        fees = price(estimate.head.base_fee_wei, estimate.tip_wei, self.settings.max_fee_wei)
        if fees is None:
            raise self._too_dear(estimate.head)
        factor = self.settings.gas_factor + tx["reverts"] / 2
        call = {"to": found.to, "data": found.data, "value": found.value_wei, "gas": int(estimate.gas * factor)}
        paid = {"max_fee": fees.max_fee, "tip": fees.tip}
        return {self.tx_key: {**_between(tx), **call, **paid, "seen_at": estimate.head.number}}

    def sign_many(self, items: Sequence[Item], ledger: Ledger) -> dict[str, StepResult | Exception]:
        """Sign what was prepared: a new nonce, or the same one where it is to be replaced."""
        results: dict[str, StepResult | Exception] = {}
        for item in items:
            try:
                results[item.record_id] = self._sign(item, ledger)
            except PartnerError as error:
                results[item.record_id] = error
        return results

    def send(self, item: Item) -> StepResult:
        """Broadcast what was signed, unless the chain needs it no longer; sending again is harmless."""
        if has_moved(item):
            return Rewind(step="keys")
        tx = self._tx(item)
        if "raw" not in tx:
            return {}
        if "sent_at" not in tx and self._is_unwanted(item, tx):
            return self._sign_again({**tx, "void": True}, self.client.head())
        outcome, head = self._broadcast(tx)
        if outcome == "too_cheap":
            return self._sign_again(tx, head)
        return {self.tx_key: {**tx, "sent_at": head.number}}

    def _broadcast(self, tx: dict[str, Any]) -> tuple[str, Head]:
        """Send; a refusal no longer matters where the nonce is used, by what was put instead (rebroadcast.py)."""
        try:
            return self.client.send_and_look(bytes.fromhex(tx["raw"]))
        except TransientError as error:
            if not error.code or self.client.nonce(self.settings.signer, "latest") <= tx["nonce"]:
                raise
            return "nonce_used", self.client.head()

    def _confirm(self, item: Item) -> StepResult:
        if has_moved(item):
            return Rewind(step="keys")
        tx = self._tx(item)
        if "raw" not in tx:
            return self._settle(item, tx, 0)
        seen = self.client.watch(tx["hashes"])
        if not seen.receipts:
            return self._look_for(tx, seen)
        receipt = seen.receipts[0]
        self._wait_until_deep(receipt.block, seen)
        if not receipt.succeeded:
            return self._reverted(tx, receipt)
        if receipt.to.lower() == self.settings.signer.lower():
            return self._look_again(_next(tx))
        found = self.purpose.read(item, receipt)
        return self._settle(item, tx, seen.height) if found is None else {**found, self.tx_key: _next(tx)}

    # signing

    def _sign(self, item: Item, ledger: Ledger) -> StepResult:
        tx = self._tx(item)
        if "data" not in tx or ("raw" in tx and "again" not in tx):
            return {}  # nothing to be done, or signed already
        place = f"{self.purpose.name}:{hashlib.sha256(item.saved['url'].encode()).hexdigest()[:8]}"
        signed = self._replace(item, tx, place, ledger) if "again" in tx else self._first(item, tx, place, ledger)
        hashes = [*signed.earlier, signed.tx_hash]
        kept = {name: value for name, value in tx.items() if name != "again"}
        return {self.tx_key: {**kept, "nonce": signed.nonce, "raw": signed.raw.hex(), "hashes": hashes}}

    def _first(self, item: Item, tx: dict[str, Any], place: str, ledger: Ledger) -> SignedTx:
        return ledger.sign(item, place, tx["generation"], lambda nonce: self._build(tx, nonce))

    def _replace(self, item: Item, tx: dict[str, Any], place: str, ledger: Ledger) -> SignedTx:
        """Sign again at the same nonce, once: after a crash the same bytes are already on file."""
        built = self._build(tx, tx["nonce"])
        known = [one for one in ledger.find(item, place) if one.tx_hash == built.tx_hash]
        if known:
            return replace(built, earlier=known[0].earlier)
        return ledger.replace(item, place, tx["generation"], lambda nonce: self._build(tx, nonce))

    def _build(self, tx: dict[str, Any], nonce: int) -> SignedTx:
        call = transfer_nothing(self.settings.signer) if "void" in tx else tx
        return sign_call(self.settings, nonce, call, Fees(max_fee=tx["max_fee"], tip=tx["tip"]))

    # what came of it

    def _settle(self, item: Item, tx: dict[str, Any], height: int) -> StepResult:
        """Finish when the chain lacks nothing any more, else start another round; `height` 0: nothing was sent."""
        found = self.purpose.look(item)
        if isinstance(found, Action):
            if height and found.data == tx["data"]:
                raise self._not_ready("the node does not show yet what is mined")
            return self._look_again(_next(tx) if height else _between(tx))
        if "block" in found and not height:
            self._wait_until_deep(found["block"], self.client.watch([]))
        return {**found, self.tx_key: _next(tx)}

    def _wait_until_deep(self, block: int, seen: Sight) -> None:
        is_deep = seen.height - block + 1 >= self.settings.confirmations
        if not (block <= seen.finalized if seen.finalized else is_deep):
            raise self._not_ready(f"block {block} is not final yet")

    def _look_for(self, tx: dict[str, Any], seen: Sight) -> StepResult:
        """Say what a transaction without receipt needs: patience, another broadcast, a higher price, or a new nonce."""
        if seen.used > tx["nonce"]:
            deep = max(0, seen.height - self.settings.forget_depth)
            used, receipts = self.client.look_back(self.settings.signer, deep, tx["hashes"])
            if used > tx["nonce"] and not receipts:
                return self._missed(tx)
            raise self._not_ready("its nonce was used; looking who used it")
        if not seen.is_known:
            outcome, head = self.client.send_and_look(bytes.fromhex(tx["raw"]))
            if outcome == "too_cheap":
                return self._sign_again(tx, head)
        elif seen.used == tx["nonce"] and seen.height - tx["sent_at"] >= self.settings.stuck_blocks:
            return self._sign_again(tx, self.client.head())
        raise self._not_ready("the transaction waits to be mined")

    def _missed(self, tx: dict[str, Any]) -> Rewind:
        """Conclude at the second look that the transaction was never mined: one node may lag behind another."""
        missed = tx.get("missed", 0) + 1
        if missed < LOOKS:
            changes = {self.tx_key: {**tx, "missed": missed}}
            return Rewind(step=f"confirm_{self.purpose.name}", changes=changes, after_s=self.settings.poll_s)
        return self._look_again(_next(tx))

    def _reverted(self, tx: dict[str, Any], receipt: Receipt) -> StepResult:
        """Go back to look why a mined transaction failed; later each time, since every round costs gas."""
        action = Action(to=tx["to"], data=tx["data"], value_wei=tx["value"])
        cause = self.client.replay(self.settings.signer, action, receipt.block) or "no reason given, perhaps out of gas"
        log.warning("vana %s reverted in block %d: %s", self.purpose.name, receipt.block, cause)
        reverts = tx["reverts"] + 1
        again = {**_next(tx), "reverts": reverts}
        return self._look_again(again, after_s=min(self.settings.poll_s * 2**reverts, LONGEST_PAUSE_S))

    def _is_unwanted(self, item: Item, tx: dict[str, Any]) -> bool:
        """Say whether the chain no longer needs the signed call, and surely has not seen it."""
        if "void" in tx:
            return False
        try:
            found = self.purpose.look(item)
        except PermanentError:
            found = {}
        if isinstance(found, Action) and found.data == tx["data"]:
            return False
        return self.client.nonce(self.settings.signer, "latest") <= tx["nonce"] and not any(
            self.client.known(tx["hashes"])
        )

    def _sign_again(self, tx: dict[str, Any], head: Head) -> Rewind:
        """Go back to sign at the same nonce at a higher price."""
        old = Fees(max_fee=tx["max_fee"], tip=tx["tip"])
        fees = raise_price(old, head.base_fee_wei, old.tip, self.settings.max_fee_wei)
        if fees is None:
            raise self._too_dear(head)
        again = {**tx, "max_fee": fees.max_fee, "tip": fees.tip, "again": True}
        return Rewind(step=f"sign_{self.purpose.name}", changes={self.tx_key: again})

    def _look_again(self, tx: dict[str, Any], after_s: float = 0.0) -> Rewind:
        return Rewind(step=f"prepare_{self.purpose.name}", changes={self.tx_key: tx}, after_s=after_s)

    def _tx(self, item: Item) -> dict[str, Any]:
        return {"generation": 0, "reverts": 0, **item.saved.get(self.tx_key, {})}

    def _not_ready(self, why: str) -> NotReady:
        message = f"{self.settings.name}: {self.purpose.name}: {why}"
        return NotReady(message, after_s=self.settings.poll_s, at_most_s=WAIT_AT_MOST_S)

    def _too_dear(self, head: Head) -> NotReady:
        gwei = head.base_fee_wei / 10**9
        why = f"gas costs {gwei:g} gwei and more; waiting until max_fee_gwei pays for it, or raise that"
        message = f"{self.settings.name}: {self.purpose.name}: {why}"
        # Nothing fails by it however long it lasts: the cap is the operator's own word.
        return NotReady(message, after_s=DEAR_POLLS * self.settings.poll_s, at_most_s=math.inf)


def doubt(error: PermanentError, doubts: int, settings: Settings, step: str, changes: Saved) -> Rewind:
    """Go back to look again, later each time; raise the error when it was met so often.

    One node may lag behind another, and a block with somebody else's registration may vanish.
    """
    if doubts > DOUBTS:
        raise error
    return Rewind(step=step, changes=changes, after_s=settings.poll_s * 2**doubts)


def transfer_nothing(signer: str) -> dict[str, Any]:
    """Return the call that only uses a nonce up."""
    return {"to": signer, "data": "0x", "value": 0, "gas": TRANSFER_GAS}


def sign_call(settings: Settings, nonce: int, call: Mapping[str, Any], fees: Fees) -> SignedTx:
    """Sign a call (to, data, value, gas) at this nonce."""
    fields = {name: call[name] for name in ("to", "data", "value", "gas")}
    paid = {"maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": fees.tip}
    return sign_transaction(settings.private_key, {"chainId": settings.chain_id, "nonce": nonce, **fields, **paid})


def has_moved(item: Item) -> bool:
    """Say whether the record's object has got another URL since its keys were drawn."""
    required = item.required.get("akave")
    url = required.entry.get("url") if required and item.kind == PUSH else None
    return url is not None and url != item.saved["url"]


def _between(tx: Mapping[str, Any]) -> dict[str, Any]:
    return {"generation": tx["generation"], "reverts": tx["reverts"]}


def _next(tx: Mapping[str, Any]) -> dict[str, Any]:
    return {"generation": tx["generation"] + 1, "reverts": tx["reverts"]}
