"""Registering a file: the keys that go with it, and the one rule that answers "is it registered?"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from partners.base import Item, Saved, Verdict
from partners.errors import BlockedError, MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.vana import abi
from partners.vana.chain import Action, Receipt, Refused
from partners.vana.client import VanaClient
from partners.vana.encoding import ecies_encrypt, ecies_seal, parse_public_key
from partners.vana.options import Settings

# What belongs to one file, and goes when the record gets another URL.
FILE_FACTS = (
    "file_id",
    "tx_hash",
    "block",
    "job_id",
    "asked_at",
    "doubts",
    "proof_rounds",
    "proof",
    "refine_job",
    "refine_tries",
    "refinement",
    "reward",
)


PAUSED = "EnforcedPause"
PAUSED_POLLS = 10  # how often a paused contract is asked less than a transaction


def paused(where: str, settings: Settings) -> TransientError:
    """Return what a contract that Vana paused asks for: peace, and no attempt is spent however long it lasts."""
    message = f"{where}, it is paused by Vana"
    return TransientError(message, retry_after_s=PAUSED_POLLS * settings.poll_s, code=PAUSED)


def is_same(one: str, other: str) -> bool:
    """Compare two addresses; checksummed or not is the same."""
    return one.lower() == other.lower()


@dataclass(frozen=True)
class Keys:
    """The record's key, encrypted once for each account that shall read it."""

    client: VanaClient
    settings: Settings
    akave: str = "akave"

    def draw(self, item: Item) -> Saved:
        """Return URL, owner and permissions of a new registration; {} where they are saved already.

        *Shape*: permissions [{"account", "key"}] go on chain; ecies [{"account", "public_key", "iv", "ephemeral_key"}]
        are secrets that the TEE needs once, and that are forgotten when it has them. `fixed` {"url", "iv",
        "ephemeral_key"} are those with which the old service registered this URL, so that the key comes out the same.
        """
        url = self.file(item, "entry", "url")
        saved = item.saved
        if saved.get("url") == url and "permissions" in saved and ("ecies" in saved or not self._wants_proof(saved)):
            return {}
        password = self.password(item)
        owner = self._owner(item)
        permissions, ecies = [], []
        fixed = saved.get("fixed", {})
        for account, public_key in self._readers(item).items():
            if account == self.client.dlp and fixed.get("url") == url:
                iv, ephemeral = bytes.fromhex(fixed["iv"]), bytes.fromhex(fixed["ephemeral_key"])
                key = ecies_encrypt(
                    public_key, password.encode(), iv=iv, ephemeral_private_key=ephemeral, as_eccrypto=True
                )
            else:
                key, iv, ephemeral = ecies_seal(public_key, password.encode())
            permissions.append({"account": account, "key": key})
            secrets = {"public_key": public_key.hex(), "iv": iv.hex(), "ephemeral_key": ephemeral.hex()}
            ecies.append({"account": account, **secrets})
        drawn = {"url": url, "owner": owner, "permissions": permissions, "ecies": ecies, "fixed": None}
        return drawn if saved.get("url") in (None, url) else {**self._forget(saved), **drawn}

    def password(self, item: Item) -> str:
        """Return the OpenPGP password of the stored object."""
        return self.file(item, "retry_data", "record_key")

    def file(self, item: Item, part: str, name: str) -> str:
        """Return one thing that Akave gave back. Raises BlockedError when it is not there."""
        required = item.required.get(self.akave)
        value = getattr(required, part).get(name) if required else None
        if not value:
            raise BlockedError(
                f"{self.settings.name}: keys: {self.akave} has given no {name}; retry {self.akave} first"
            )
        return str(value)

    def _wants_proof(self, saved: Saved) -> bool:
        return self.settings.request_proof and "proof" not in saved

    def _owner(self, item: Item) -> str:
        if self.settings.owned_by_signer:
            return self.settings.signer
        if item.owner is None:
            raise BlockedError(
                f"{self.settings.name}: keys: the record names no owner; hand one in, or use file_owner signer"
            )
        return item.owner.address

    def _readers(self, item: Item) -> dict[str, bytes]:
        readers = {self.client.dlp: self.dlp_key()}
        if item.owner is not None and item.owner.public_key:
            try:
                readers[item.owner.address] = parse_public_key(item.owner.public_key)
            except ValueError:
                message = f"{self.settings.name}: keys: the owner's public key is none; hand in 65 bytes as hex"
                raise PermanentError(message, kind="validation") from None
        return readers

    def dlp_key(self) -> bytes:
        """Return the DLP's public key as its contract tells it."""
        text = self.client.read(self.client.dlp, abi.PUBLIC_KEY)
        try:
            return parse_public_key(text)
        except ValueError:
            raise MisconfiguredError(
                f"{self.settings.name}: keys: the DLP {self.client.dlp} has no usable public key; its owner must set it"
            ) from None

    def _forget(self, saved: Saved) -> dict[str, Any]:
        """Let go of what belonged to the old URL; its transactions are not ours any more."""
        return {name: None for name in saved if name in FILE_FACTS or name.endswith("_tx")}


@dataclass(frozen=True)
class Registration:
    """The purpose "this URL is registered by us, with every permission"."""

    client: VanaClient
    settings: Settings
    name: str = "register"

    def look(self, item: Item) -> Action | Saved:
        """Answer the only question that counts: who registered this URL, and which keys does it hold?"""
        saved = item.saved
        wanted = {one["account"]: one["key"] for one in saved["permissions"]}
        file_id = self.client.find_file_id(saved["url"])
        if not file_id:
            return self._add_file(saved["url"], saved["owner"], list(wanted.items()))
        file = self.client.file(file_id, list(wanted))
        if not is_same(file.owner, saved["owner"]):
            raise self._conflict("belongs to somebody else")
        for account, key in wanted.items():
            if file.keys[account] != key:
                return self._add_permission(file_id, file.owner, account, key)
        tx_hash = self.client.find_registration(file_id, file.block) or saved.get("tx_hash", "")
        return {"file_id": file_id, "block": file.block, "tx_hash": tx_hash}

    def verify(self, item: Item) -> Verdict:
        """Say whether the file is registered as we saved it: with our keys, or with blank ones once taken back."""
        saved = item.saved
        if "url" not in saved:
            return Verdict(present=None, detail="nobody knows under which URL it was registered")
        taken_back = "blanked" in saved
        wanted = {one["account"]: "" if taken_back else one["key"] for one in saved.get("permissions", ())}
        file_id = self.client.find_file_id(saved["url"])
        if not file_id:
            return Verdict(present=False, detail="the URL is not registered")
        file = self.client.file(file_id, list(wanted))
        if not is_same(file.owner, saved.get("owner", self.settings.signer)):
            return Verdict(present=False, detail=f"file {file_id} belongs to {file.owner}")
        wrong = [account for account, key in wanted.items() if file.keys[account] != key]
        if wrong:
            return Verdict(present=False, detail=f"file {file_id} holds another key for {', '.join(wrong)}")
        if "permissions" not in saved and not taken_back:
            return Verdict(present=True, detail=f"file {file_id} is registered; the old service's key is not compared")
        keys = "blank keys" if taken_back else f"{len(wanted)} of our keys"
        return Verdict(present=True, detail=f"file {file_id} is registered with {keys}")

    def read(self, item: Item, receipt: Receipt) -> Saved | None:
        """Take the file's id from the receipt, and see on chain that it is as it should be; else look again."""
        saved = item.saved
        wanted = {one["account"]: one["key"] for one in saved["permissions"]}
        for log in receipt.events(abi.FILE_ADDED_V2, topics=3):
            file_id = int(log.topics[1], 16)
            file = self.client.file(file_id, list(wanted))
            if (file.url, file.block, file.keys) == (saved["url"], receipt.block, wanted) and is_same(
                file.owner, saved["owner"]
            ):
                return {"file_id": file_id, "block": file.block, "tx_hash": receipt.tx_hash}
        return None

    def refuse(self, refused: Refused) -> PartnerError:
        """Say what a refusal of the registry asks for."""
        where = f"{self.settings.name}: register: the registry refused"
        if refused.name == PAUSED:
            return paused(where, self.settings)
        if refused.name == "FileUrlAlreadyUsed":
            return TransientError(f"{where}, the URL was registered this moment; looking again", code=refused.name)
        if refused.name == "InvalidSchemaId" or (not refused.name and self.settings.schema_id):
            return MisconfiguredError(f"{where}, schema_id is unknown to it; correct it or set 0", code=refused.name)
        cause = refused.name or "without a reason"
        return PermanentError(f"{where}: {cause}; compare its address and version", code=refused.name)

    def _add_file(self, url: str, owner: str, permissions: list[tuple[str, str]]) -> Action:
        if self.settings.schema_id:
            data = abi.ADD_FILE_WITH_SCHEMA.encode(url, owner, permissions, self.settings.schema_id)
        else:
            data = abi.ADD_FILE.encode(url, owner, permissions)
        return Action(to=self.client.registry, data=data)

    def _add_permission(self, file_id: int, owner: str, account: str, key: str) -> Action:
        if not is_same(owner, self.settings.signer):
            raise self._conflict("holds another key, which only its owner can change")
        return Action(to=self.client.registry, data=abi.ADD_FILE_PERMISSION.encode(file_id, account, key))

    def _conflict(self, why: str) -> PermanentError:
        return PermanentError(
            f"{self.settings.name}: register: the URL is on chain already and {why}; upload under a new name",
            kind="conflict",
        )
