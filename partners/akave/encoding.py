"""Symmetric OpenPGP messages: written deterministically for storage, read back from any common writer. No I/O.

`encrypt` is a pure function of payload and record key, so that every retry of an upload sends the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SKESK, COMPRESSED, MARKER, LITERAL, SEIPD, PADDING = 3, 8, 10, 11, 18, 21
AES_256, SHA_256 = 9, 8
KEY_BYTES = {7: 16, 8: 24, AES_256: 32}
HASHES = {2: "sha1", SHA_256: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
SIMPLE, SALTED, ITERATED = 0, 1, 3
COUNT = 96  # 65,536 octets: stretching adds nothing to a password of 256 random bits
BLOCK = 16
MDC_HEADER = b"\xd3\x14"
MDC_BYTES = 22


class DecryptionError(ValueError):
    """The message cannot be opened: wrong password, damaged, or of a kind that is not read here."""


def new_record_key() -> str:
    """Draw a record key: 0x and 64 hex characters, used as text wherever a password is asked for."""
    return "0x" + secrets.token_hex(32)


def encrypt(payload: bytes, record_key: str) -> bytes:
    """Return the OpenPGP message of `payload`; the same bytes for the same arguments, always.

    Salt, session key and prefix depend on the payload too: a key used twice by mistake reuses no cipher stream.

    Raises ValueError when `record_key` is not 0x and 64 hex characters in lower case, nor a signature (0x and 130),
    which is what a record adopted from the old service has.
    Source: RFC 9580 sections 5.3.1 (SKESK v4), 5.13.1 (SEIPD v1), 5.9 (literal data).
    """
    salt, session_key, prefix = _derive(payload, record_key)
    stretched = _stretch(record_key.encode(), ITERATED, SHA_256, salt, COUNT, KEY_BYTES[AES_256])
    wrapped_key = _cfb(stretched, bytes([AES_256]) + session_key)
    skesk = bytes([4, AES_256, ITERATED, SHA_256]) + salt + bytes([COUNT]) + wrapped_key
    plain = prefix + prefix[-2:] + _packet(LITERAL, b"b\x00" + bytes(4) + payload) + MDC_HEADER
    plain += _sha1(plain)
    return _packet(SKESK, skesk) + _packet(SEIPD, b"\x01" + _cfb(session_key, plain))


def decrypt(message: bytes, password: str) -> bytes:
    """Return the payload of a binary OpenPGP message encrypted with a password.

    Raises DecryptionError: nothing is returned unless the message's own integrity check holds.
    """
    wrapped: list[bytes] = []
    for tag, body in _packets(message):
        if tag == SKESK:
            wrapped.append(body)
        elif tag == SEIPD:
            return _literal(_open(body, wrapped, password.encode()))
        elif tag not in (MARKER, PADDING):
            raise DecryptionError(f"the message holds a packet of tag {tag}, which is not read here")
    raise DecryptionError("the message holds no encrypted data with an integrity check")


def _derive(payload: bytes, record_key: str) -> tuple[bytes, bytes, bytes]:
    if not re.fullmatch("0x([0-9a-f]{64}|[0-9a-f]{130})", record_key):
        raise ValueError("a record key is 0x and 64 hex characters in lower case, or 130 of a signature")
    secret, digest = bytes.fromhex(record_key[2:]), hashlib.sha256(payload).digest()

    def draw(info: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, salt=digest, info=info).derive(secret)

    return draw(b"openpgp salt", 8), draw(b"openpgp session key", 32), draw(b"openpgp prefix", BLOCK)


def _stretch(password: bytes, kind: int, algorithm: int, salt: bytes, count: int, length: int) -> bytes:
    """Turn a password into a key (RFC 9580 section 3.7); `count` is the coded octet."""
    unit = salt + password
    octets = max((16 + (count & 15)) << ((count >> 4) + 6), len(unit)) if kind == ITERATED else len(unit)
    key = b""
    zeros = 0
    while len(key) < length:
        digest = hashlib.new(HASHES[algorithm], bytes(zeros))
        # in slices of whole units, so that a count of 65 million needs no 65 MB
        block = unit * max(1, 65536 // max(1, len(unit)))
        whole, rest = divmod(octets, len(block)) if block else (0, 0)
        for _ in range(whole):
            digest.update(block)
        digest.update(block[:rest])
        key += digest.digest()
        zeros += 1
    return key[:length]


def _cfb(key: bytes, data: bytes, *, decrypting: bool = False) -> bytes:
    cipher = Cipher(AES(key), CFB(bytes(BLOCK)))
    context = cipher.decryptor() if decrypting else cipher.encryptor()
    return context.update(data) + context.finalize()


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _packet(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 192:
        header = bytes([size])
    elif size < 8384:
        header = bytes([192 + (size - 192 >> 8), size - 192 & 255])
    else:
        header = b"\xff" + size.to_bytes(4)
    return bytes([0xC0 | tag]) + header + body


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a sequence of packets of either header format into (tag, body)."""
    reader = _Reader(data)
    while reader.left:
        first = reader.octet()
        if not first & 0x80:
            raise DecryptionError("this is not a binary OpenPGP message")
        yield (first & 0x3F, reader.new_body()) if first & 0x40 else (first >> 2 & 15, reader.old_body(first & 3))


class _Reader:
    """Octets taken from the front of a message; running out of them means that it is truncated."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise DecryptionError("the message is truncated")
        self._at += size
        return self._data[self._at - size : self._at]

    def octet(self) -> int:
        return self.take(1)[0]

    def rest(self) -> bytes:
        return self.take(self.left)

    def old_body(self, length_type: int) -> bytes:
        if length_type == 3:  # indeterminate: up to the end
            return self.rest()
        return self.take(int.from_bytes(self.take(1 << length_type)))

    def new_body(self) -> bytes:
        parts: list[bytes] = []
        while True:
            first = self.octet()
            if not 224 <= first < 255:
                return b"".join([*parts, self.take(self._definite(first))])
            parts.append(self.take(1 << (first & 31)))

    def _definite(self, first: int) -> int:
        if first < 192:
            return first
        return (first - 192 << 8) + self.octet() + 192 if first < 224 else int.from_bytes(self.take(4))


def _open(body: bytes, wrapped: list[bytes], password: bytes) -> bytes:
    """Return the packets inside an encrypted packet, by whichever wrapped key the password opens."""
    if body[:1] != b"\x01":
        raise DecryptionError("AEAD messages (OpenPGP version 6) are not read here")
    for packet in wrapped:
        session_key = _session_key(packet, password)
        plain = _cfb(session_key, body[1:], decrypting=True) if session_key else b""
        content, mdc = plain[:-MDC_BYTES], plain[-MDC_BYTES:]
        expected = MDC_HEADER + _sha1(content + MDC_HEADER)
        if len(content) >= BLOCK + 2 and hmac.compare_digest(mdc, expected):
            return content[BLOCK + 2 :]
    raise DecryptionError("the password is wrong or the message is damaged")


def _session_key(skesk: bytes, password: bytes) -> bytes | None:
    """Return the key that a symmetric-key packet yields under `password`, or None if it yields none."""
    reader = _Reader(skesk)
    version, cipher, kind = reader.octet(), reader.octet(), reader.octet()
    if version != 4:
        raise DecryptionError(f"keys of OpenPGP version {version} are not read here")
    algorithm = reader.octet()
    if cipher not in KEY_BYTES or algorithm not in HASHES or kind not in (SIMPLE, SALTED, ITERATED):
        raise DecryptionError("the message uses a cipher, hash or key derivation that is not read here")
    salt = reader.take(8) if kind != SIMPLE else b""
    count = reader.octet() if kind == ITERATED else 0
    stretched = _stretch(password, kind, algorithm, salt, count, KEY_BYTES[cipher])
    if not reader.left:
        return stretched
    opened = _cfb(stretched, reader.rest(), decrypting=True)
    return opened[1:] if KEY_BYTES.get(opened[0]) == len(opened) - 1 else None


def _literal(packets: bytes) -> bytes:
    for tag, body in _packets(packets):
        if tag == LITERAL:
            reader = _Reader(body)
            reader.octet()
            reader.take(reader.octet() + 4)
            return reader.rest()
        if tag not in (MARKER, PADDING):
            raise DecryptionError("the message is compressed or signed inside, which is not read here")
    raise DecryptionError("the message holds no data")
