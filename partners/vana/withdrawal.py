"""Taking back as far as the chain allows: the keys that stand there are blanked. History keeps them; that is said."""

from __future__ import annotations

from dataclasses import dataclass

from partners.base import Item, Saved
from partners.errors import NotReady, PartnerError, TransientError
from partners.vana import abi
from partners.vana.chain import Action, Receipt, Refused
from partners.vana.client import VanaClient
from partners.vana.options import Settings
from partners.vana.registration import PAUSED, is_same, paused

BLANKED = (
    "The registration, its URL and the blanked keys stay in the chain's history; whoever holds the DLP's or the "
    "owner's private key can open them as long as the object exists."
)
FOREIGN = "The keys stand on chain, since the file belongs to the record's owner, who alone can blank them."


@dataclass(frozen=True)
class Withdrawal:
    """The purpose "no key of this file stands on chain"."""

    client: VanaClient
    settings: Settings
    name: str = "withdraw"

    def look(self, item: Item) -> Action | Saved:
        """Find the next key to blank; none where nothing was registered or the file is not ours."""
        # Of a file that was adopted only the URL is known; the old service gave keys to the DLP alone.
        accounts = [one["account"] for one in item.saved.get("permissions", ())] or [self.client.dlp]
        file_id = self.client.find_file_id(item.saved["url"]) if "url" in item.saved else 0
        if not file_id:
            self._wait_for_registration(item)
            return {"ecies": None}
        file = self.client.file(file_id, accounts)
        if not is_same(file.owner, self.settings.signer):
            return {"ecies": None, "remains": FOREIGN}
        for account in accounts:
            if file.keys[account]:
                return Action(to=self.client.registry, data=abi.ADD_FILE_PERMISSION.encode(file_id, account, ""))
        return {"ecies": None, "remains": BLANKED, "blanked": True}

    def read(self, item: Item, receipt: Receipt) -> Saved | None:
        """Look for the next one."""
        return None

    def refuse(self, refused: Refused) -> PartnerError:
        """Try again later, whatever it is."""
        if refused.name == PAUSED:
            return paused(f"{self.settings.name}: withdraw: the registry refused", self.settings)
        cause = refused.name or "without a reason"
        return TransientError(f"{self.settings.name}: withdraw: the registry refused: {cause}", code=refused.name)

    def _wait_for_registration(self, item: Item) -> None:
        """A registration that is signed will be mined, so its key must be waited for."""
        tx = item.saved.get("register_tx", {})
        if "raw" in tx and self.client.nonce(self.settings.signer, "latest") <= tx["nonce"]:
            message = f"{self.settings.name}: withdraw: a registration is on its way; its key is blanked after it"
            raise NotReady(message, after_s=self.settings.poll_s)
