"""The old service's `vanaState` as what our adapter saves, so that it goes on where the old one stopped. Pure.

No step is skipped on the word of a flag: each asks the chain first, and finds there what has been done. What only the
old database knows are the secrets of the key on chain, and the URL under which it stands.
"""

from __future__ import annotations

from typing import Any

from dataunion.adoption.akave_state import Old, Place
from dataunion.adoption.fields import Reader
from dataunion.adoption.sides import Kind, Side, unfinished
from dataunion.state import Known, Status

_IV_BYTES, _KEY_BYTES = 16, 32
# The key of dlp-ui-template's lib/crypto/utils.ts, which anybody can read there. Nothing new is encrypted with it.
PUBLIC_KEY = "112233445566778899aabbccddeeff00102030405060708090a0b0c0d0e0f000"
_CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_FLAGS = (
    "file_registered",
    "contribution_proof_requested",
    "tee_proof_submitted",
    "data_refined",
    "reward_claimed",
)
_PATH = "partners.vana.retry_data.vanaState"


class VanaState:
    """What a document says of its registration."""

    def __init__(self, read: Reader, old: Old) -> None:
        self._read, self._old = read, old
        state = read.mapping(old.retry_data.get("vanaState"), _PATH)
        flags = [read.flag(state.get(name), f"{_PATH}.{name}") for name in _FLAGS]
        own = read.number(old.entry.get("file_id"), "partners.vana.file_id")
        saved = read.number(state.get("fileId"), f"{_PATH}.fileId")
        if own and saved and own != saved:
            read.note(f"partners.vana.file_id and {_PATH}.fileId differ")
        self.file_id = own or saved
        self.registered = bool(old.is_synced or self.file_id or any(flags))
        self._began = self.registered or bool(state.get("jobDetails"))
        self._iv = read.secret(state.get("fixed_iv"), f"{_PATH}.fixed_iv", _IV_BYTES)
        self._key = read.secret(state.get("fixed_ephemeral_key"), f"{_PATH}.fixed_ephemeral_key", _KEY_BYTES)

    def side(self, place: Place | None) -> Side:
        """Return what is known of Vana's part of a record whose object is at this place."""
        url = place.url if place else ""
        if self._old.is_synced:
            return self._synced(url)
        if self.registered and not url:
            self._read.note("partners.vana says that a file is registered, and its URL is missing")
            message = (
                "The old service registered a file of this record, and did not keep its URL; a retry registers it anew."
            )
            return unfinished(message)
        if self.registered and not (place and place.record_key):
            return unfinished(
                "The old service registered a file of this record, and its password is lost; a retry registers it anew."
            )
        fixed = self._fixed(url)
        if not (self._began or fixed):
            return unfinished(self._old.error_message)
        saved = {"fixed": fixed} if fixed else {}
        return Side(kind=Kind.HALF_DONE, known=Known(error_message=self._old.error_message or None, saved=saved))

    def _synced(self, url: str) -> Side:
        saved: dict[str, Any] = {"url": url} if url else {}
        if self.file_id is None:
            self._read.note("partners.vana.is_synced is true, and file_id is missing")
            return Side(kind=Kind.SYNCED, known=Known(status=Status.DONE, saved=saved))
        receipt = {"file_id": self.file_id}
        refs = [("file_id", str(self.file_id))]
        known = Known(status=Status.DONE, receipt=receipt, saved={**saved, **receipt}, refs=refs)
        return Side(kind=Kind.SYNCED, known=known)

    def _fixed(self, url: str) -> dict[str, str]:
        """Return the secrets of this URL's key on chain; {} where they are not known or not to be used."""
        if not (url and self._iv and self._key):
            return {}
        if not 0 < int(self._key, 16) < _CURVE_ORDER:
            self._read.note(f"{_PATH}.fixed_ephemeral_key is no key of the curve")
            return {}
        if self._key == PUBLIC_KEY and not self.registered:
            return {}
        return {"url": url, "iv": self._iv, "ephemeral_key": self._key}
