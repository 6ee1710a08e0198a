"""Asking the DLP for the reward of a proved file: once per file, paid to the file's owner."""

from __future__ import annotations

from dataclasses import dataclass, replace

from partners.base import Item, Saved
from partners.errors import NotReady, PartnerError, PermanentError, TransientError
from partners.vana import abi
from partners.vana.chain import Action, Receipt, Refused
from partners.vana.client import VanaClient
from partners.vana.options import Settings
from partners.vana.registration import PAUSED, paused

WORD = 66  # 0x and the 32 bytes of the only value that the event holds


@dataclass(frozen=True)
class Reward:
    """The purpose "this file is rewarded"."""

    client: VanaClient
    settings: Settings
    name: str = "reward"

    def look(self, item: Item) -> Action | Saved:
        """Try the call: the DLP itself says whether the file is rewarded already."""
        saved = item.saved
        action = Action(to=self.client.dlp, data=abi.REQUEST_REWARD.encode(saved["file_id"], saved["proof"]["index"]))
        try:
            estimate = self.client.estimate(self.settings.signer, action)
        except Refused as refused:
            if refused.name != "FileAlreadyAdded":
                self._demand_height(item, refused.height)
                raise self.refuse(refused) from None
            return {"reward": saved.get("reward", {})}
        return replace(action, estimate=estimate)

    def _demand_height(self, item: Item, height: int) -> None:
        """Believe no refusal of a node that is behind the one which saw that the call succeeds: it lacks the proof."""
        if 0 < height < item.saved.get(f"{self.name}_tx", {}).get("seen_at", 0):
            message = f"{self.settings.name}: reward: the node lags behind another one; asked again"
            raise NotReady(message, after_s=self.settings.poll_s)

    def read(self, item: Item, receipt: Receipt) -> Saved | None:
        """Take the amount from the receipt."""
        for log in receipt.events(abi.REWARD_REQUESTED, topics=3):
            if int(log.topics[2], 16) == item.saved["file_id"] and len(log.data) > 2:
                amount = int(log.data[:WORD], 16)
                return {"reward": {"amount": str(amount), "tx_hash": receipt.tx_hash}}
        return None

    def refuse(self, refused: Refused) -> PartnerError:
        """Say what a refusal of the DLP asks for."""
        where = f"{self.settings.name}: reward: the DLP refused"
        if refused.name in ("InvalidProof", "InvalidScore", "InvalidAttestator"):
            message = f"{where} the proof: {refused.name}; ask the DLP's owner, asking again cannot help"
            return PermanentError(message, kind="proof", code=refused.name)
        if refused.name == PAUSED:
            return paused(where, self.settings)
        cause = refused.name or "without a reason"
        return TransientError(f"{where}: {cause}; perhaps its funds are used up", code=refused.name)
