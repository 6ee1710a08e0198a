"""What goes on chain and to the TEE, as bytes: ECIES as eccrypto writes it, and the refinement key. No network.

An ECIES message is iv(16) ‖ ephemeral public key(65) ‖ AES-256-CBC ciphertext ‖ HMAC-SHA256(32), as lowercase hex.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha512
from typing import NamedTuple

from coincurve import PublicKey
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

IV_BYTES, SECRET_BYTES, POINT_BYTES, MAC_BYTES, BLOCK_BITS = 16, 32, 65, 32, 128
POINT_FORMS = (b"\x02", b"\x03", b"\x04")
HEAD_BYTES = IV_BYTES + POINT_BYTES


class LeadingZeroError(ValueError):
    """The shared secret starts with a zero byte, which eccrypto's JavaScript build hashes without it: draw again."""


class EciesError(ValueError):
    """The message is not for this key, was changed on its way, or is no ECIES message at all."""


class Sealed(NamedTuple):
    """An ECIES message, and the secrets that make it anew."""

    blob: str
    iv: bytes
    ephemeral: bytes


def parse_public_key(text: str) -> bytes:
    """Return the 65 byte form of a public key given as hex, with or without 0x: 64, 65 or 33 bytes."""
    return bytes(_point(bytes.fromhex(text.strip().removeprefix("0x"))).format(compressed=False))


def ecies_seal(public_key: bytes, message: bytes) -> Sealed:
    """Encrypt for one public key (64, 65 or 33 bytes) under fresh secrets, such that every implementation reads it."""
    while True:
        iv, ephemeral = os.urandom(IV_BYTES), os.urandom(SECRET_BYTES)
        try:
            blob = ecies_encrypt(public_key, message, iv=iv, ephemeral_private_key=ephemeral)
        except LeadingZeroError:
            continue
        return Sealed(blob, iv, ephemeral)


def ecies_encrypt(
    public_key: bytes, message: bytes, *, iv: bytes, ephemeral_private_key: bytes, as_eccrypto: bool = False
) -> str:
    """Encrypt for one public key (64, 65 or 33 bytes); the same arguments give the same bytes.

    `as_eccrypto` gives what eccrypto's JavaScript build gave for the same secrets, also where nobody else reads it.
    Raises LeadingZeroError for an ephemeral key that `ecies_seal` would not have taken, without `as_eccrypto`.
    """
    ephemeral = PublicKey.from_secret(ephemeral_private_key)
    # Its time may depend on the key, which is no harm where a key is drawn for one message.
    shared = bytes(_point(public_key).multiply(ephemeral_private_key).format()[1:])
    if as_eccrypto:
        shared = shared.lstrip(b"\0")
    elif not shared[0]:
        raise LeadingZeroError("the shared secret of this ephemeral key starts with a zero byte")
    cipher_key, mac_key = _derive(shared)
    padder = padding.PKCS7(BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(message) + padder.finalize()) + encryptor.finalize()
    body = iv + bytes(ephemeral.format(compressed=False)) + ciphertext
    return (body + hmac.digest(mac_key, body, "sha256")).hex()


def ecies_decrypt(private_key: bytes, blob_hex: str) -> bytes:
    """Open a message of any of the known writers. Raises EciesError when it cannot be opened.

    Writers disagree on a shared secret that starts with zero bytes (1 in 256): most hash all 32 bytes, eccrypto's
    JavaScript build leaves the zeros out. So both are tried; the MAC decides.
    """
    blob = _unhex(blob_hex)
    body, mac = blob[:-MAC_BYTES], blob[-MAC_BYTES:]
    try:
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), body[IV_BYTES:HEAD_BYTES])
    except ValueError:
        raise EciesError("the message holds no public key") from None
    # OpenSSL's, slower and in constant time: this key stays the same.
    own = ec.derive_private_key(int.from_bytes(private_key, "big"), ec.SECP256K1())
    shared = own.exchange(ec.ECDH(), sender)
    for candidate in (shared, shared.lstrip(b"\0")):
        cipher_key, mac_key = _derive(candidate)
        if hmac.compare_digest(hmac.digest(mac_key, body, "sha256"), mac):
            return _decipher(cipher_key, body[:IV_BYTES], body[HEAD_BYTES:])
    raise EciesError("the message is not for this key, or was changed")


def refinement_key(password: str) -> str:
    """Derive the key under which the refiner publishes its result: 0x + 128 hex from the file's password (0x + hex)."""
    secret = bytes.fromhex(password.removeprefix("0x"))
    return "0x" + HKDF(algorithm=hashes.SHA256(), length=64, salt=None, info=b"query-engine").derive(secret).hex()


def _unhex(blob_hex: str) -> bytes:
    try:
        blob = bytes.fromhex(blob_hex.removeprefix("0x"))
    except ValueError:
        raise EciesError("the message is not hexadecimal") from None
    ciphertext_bytes = len(blob) - HEAD_BYTES - MAC_BYTES
    if ciphertext_bytes <= 0 or ciphertext_bytes % 16:
        raise EciesError("the message has an impossible length")
    return blob


def _decipher(cipher_key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise EciesError("the message is padded wrongly") from None


def _derive(shared: bytes) -> tuple[bytes, bytes]:
    digest = sha512(shared).digest()
    return digest[:32], digest[32:]


def _point(key: bytes) -> PublicKey:
    """Read a public key. Raises ValueError."""
    encoded = b"\x04" + key if len(key) == POINT_BYTES - 1 else key
    if encoded[:1] not in POINT_FORMS:  # libsecp256k1 takes two more, which nobody else reads
        raise ValueError("the public key has none of the usual forms")
    return PublicKey(encoded)
