"""Encryption at rest: AES-256-GCM envelopes under a key ring. The newest key wraps, older ones unwrap.

An envelope is version (1 byte) | key id (8) | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext. What it
belongs to is bound as associated data, so that a row's bytes open in no other row.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_VERSION = b"\x01"
_HEAD = 1 + 8
_WRAPPED = 12 + 32 + 16
_SHORTEST = _HEAD + _WRAPPED + 12 + 16


class VaultError(Exception):
    """The envelope cannot be opened: unknown key, wrong row, or damaged bytes."""


class UnknownKeyError(VaultError):
    """The key that sealed this is not in the ring; putting it back opens the envelope again."""


def new_key() -> str:
    """Return a new key for DATAUNION_VAULT_KEYS: 256 random bits in base64."""
    return base64.b64encode(os.urandom(32)).decode()


def _ring() -> dict[bytes, AESGCM]:
    """Return the keys by id, newest first."""
    return _read_ring(tuple(settings.VAULT_KEYS))


@lru_cache(maxsize=1)
def _read_ring(texts: tuple[str, ...]) -> dict[bytes, AESGCM]:
    keys = [base64.b64decode(text) for text in texts]
    return {hashlib.sha256(b"dataunion key id" + k).digest()[:8]: AESGCM(k) for k in keys}


def _aad(*names: object) -> bytes:
    return "|".join(str(n) for n in names).encode()


def seal(data: bytes, *belongs_to: object) -> bytes:
    """Encrypt `data` so that only `open_sealed` with the same `belongs_to` (table, record id, partner) opens it."""
    key_id, wrapping = next(iter(_ring().items()))
    data_key, aad = AESGCM.generate_key(256), _aad(*belongs_to)
    outer, inner = os.urandom(12), os.urandom(12)
    wrapped = wrapping.encrypt(outer, data_key, aad)
    return _VERSION + key_id + outer + wrapped + inner + AESGCM(data_key).encrypt(inner, data, aad)


def _unwrap(envelope: bytes, aad: bytes) -> bytes:
    if envelope[:1] != _VERSION or len(envelope) < _SHORTEST:
        raise VaultError("sealed bytes do not belong to this row, or are damaged")
    key_id = envelope[1:_HEAD]
    key = _ring().get(key_id)
    if key is None:
        raise UnknownKeyError(f"no key {key_id.hex()} in DATAUNION_VAULT_KEYS; put back the key that sealed this")
    try:
        return key.decrypt(envelope[_HEAD : _HEAD + 12], envelope[_HEAD + 12 : _HEAD + _WRAPPED], aad)
    except InvalidTag:
        raise VaultError("sealed bytes do not belong to this row, or are damaged") from None


def open_sealed(envelope: bytes, *belongs_to: object) -> bytes:
    """Decrypt. Raises VaultError."""
    envelope, aad = bytes(envelope), _aad(*belongs_to)
    data_key = _unwrap(envelope, aad)
    body = envelope[_HEAD + _WRAPPED :]
    try:
        return AESGCM(data_key).decrypt(body[:12], body[12:], aad)
    except InvalidTag:
        raise VaultError("sealed bytes do not belong to this row, or are damaged") from None


def is_newest(envelope: bytes) -> bool:
    """Say whether the newest key wraps this envelope."""
    return bytes(envelope[1:_HEAD]) == next(iter(_ring()))


def rewrap(envelope: bytes, *belongs_to: object) -> bytes:
    """Wrap the data key anew with the newest key; the data itself is not touched. Raises VaultError."""
    envelope, aad = bytes(envelope), _aad(*belongs_to)
    data_key = _unwrap(envelope, aad)
    key_id, wrapping = next(iter(_ring().items()))
    outer = os.urandom(12)
    return _VERSION + key_id + outer + wrapping.encrypt(outer, data_key, aad) + envelope[_HEAD + _WRAPPED :]


def seal_json(value: Any, *belongs_to: object) -> bytes:
    """Seal a JSON value."""
    return seal(json.dumps(value, separators=(",", ":")).encode(), *belongs_to)


def open_json(envelope: Any, *belongs_to: object) -> Any:
    """Open a sealed JSON object; {} for None. Raises VaultError."""
    return {} if envelope is None else json.loads(open_sealed(envelope, *belongs_to))


def to_text(envelope: bytes) -> str:
    """Return an envelope as it stands inside JSON."""
    return base64.b64encode(envelope).decode()


def from_text(text: str) -> bytes:
    """Return the envelope of `to_text`."""
    return base64.b64decode(text)


def content_digest(payload: bytes) -> str:
    """Return a keyed digest that decides "same content", 64 hex characters; useless without the key."""
    return hmac.new(base64.b64decode(settings.DIGEST_KEY), payload, hashlib.sha256).hexdigest()
