"""Opens the keys that the chain holds: ECIES as the JavaScript library eccrypto writes it.

Layout: iv(16) ‖ ephemeral public key(65, 04…) ‖ AES-256-CBC ciphertext ‖ HMAC-SHA256(32), as hex.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

CURVE = ec.SECP256K1()
IV_BYTES, POINT_BYTES, BLOCK_BYTES, MAC_BYTES = 16, 65, 16, 32


class EciesError(Exception):
    """The key on chain cannot be opened; the text says why and holds nothing of it."""


@dataclass(frozen=True)
class Sealed:
    """A parsed ciphertext."""

    iv: bytes
    ephemeral: bytes
    ciphertext: bytes
    mac: bytes


def parse(text: str) -> Sealed:
    """Take the hex text that the chain holds apart."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise EciesError("the key is not hexadecimal") from None
    body = len(raw) - IV_BYTES - POINT_BYTES - MAC_BYTES
    if body < BLOCK_BYTES or body % BLOCK_BYTES:
        raise EciesError(f"the key is {len(raw)} bytes long, which is no ECIES message")
    point_at = IV_BYTES + POINT_BYTES
    return Sealed(raw[:IV_BYTES], raw[IV_BYTES:point_at], raw[point_at:-MAC_BYTES], raw[-MAC_BYTES:])


def load_private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Make a private key of its 64 hex characters."""
    raw = bytes.fromhex(text.strip().removeprefix("0x"))
    if len(raw) != 32:
        raise ValueError("a private key is 64 hexadecimal characters")
    return ec.derive_private_key(int.from_bytes(raw, "big"), CURVE)


def decrypt(text: str, private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return what `text` holds for the owner of `private_key`.

    eccrypto in JavaScript hashes the shared secret without its leading zero bytes, the other libraries with them;
    both forms are read, and the MAC says which it is.
    """
    sealed = parse(text)
    try:
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sealed.ephemeral)
    except ValueError:
        raise EciesError("the ephemeral key is no point of the curve") from None
    shared = private_key.exchange(ec.ECDH(), theirs)
    for secret in (shared, shared.lstrip(b"\0")):
        keys = hashlib.sha512(secret).digest()
        mac = hmac.digest(keys[32:], sealed.iv + sealed.ephemeral + sealed.ciphertext, "sha256")
        if hmac.compare_digest(mac, sealed.mac):
            return _unpad(keys[:32], sealed)
    raise EciesError("the key was made for another recipient or changed")


def _unpad(key: bytes, sealed: Sealed) -> bytes:
    decryptor = Cipher(AES(key), CBC(sealed.iv)).decryptor()
    padded = decryptor.update(sealed.ciphertext) + decryptor.finalize()
    unpadder = PKCS7(BLOCK_BYTES * 8).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise EciesError("the key's padding is wrong") from None
