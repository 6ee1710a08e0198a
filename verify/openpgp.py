"""Reads OpenPGP messages that are encrypted with a password (RFC 4880): SKESK v4, SEIPD v1, one literal packet.

Anything else is refused, also data behind the message, so that one ciphertext has one meaning.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

SKESK, LITERAL, SEIPD, MARKER = 3, 11, 18, 10
KEY_BYTES = {7: 16, 8: 24, 9: 32}  # AES-128, -192, -256
HASHES = {2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
BLOCK_BYTES, MDC_BYTES = 16, 22


class OpenPgpError(Exception):
    """The message cannot be read with this password; the text says why and holds nothing of the content."""


@dataclass(frozen=True)
class Packet:
    """One packet: its tag and its body, partial lengths joined."""

    tag: int
    body: bytes


class Reader:
    """A cursor over bytes that refuses to read past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise OpenPgpError("the message is cut off")
        self._at += count
        return taken

    def number(self, count: int) -> int:
        """Return the next `count` bytes as a big-endian number."""
        return int.from_bytes(self.take(count), "big")

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)

    @property
    def is_at_end(self) -> bool:
        """Say whether nothing is left."""
        return self._at >= len(self._data)


def read_packets(data: bytes) -> Iterator[Packet]:
    """Yield the packets of a message, both header formats."""
    reader = Reader(data)
    while not reader.is_at_end:
        header = reader.number(1)
        if not header & 0x80:
            raise OpenPgpError("this is not a binary OpenPGP message")
        if header & 0x40:
            yield Packet(header & 0x3F, _new_body(reader))
        else:
            yield Packet((header >> 2) & 0x0F, _old_body(reader, header & 0x03))


def _new_body(reader: Reader) -> bytes:
    body = bytearray()
    while True:
        first = reader.number(1)
        if 224 <= first < 255:
            body += reader.take(1 << (first & 0x1F))
            continue
        if first < 192:
            length = first
        elif first < 224:
            length = ((first - 192) << 8) + reader.number(1) + 192
        else:
            length = reader.number(4)
        return bytes(body + reader.take(length))


def _old_body(reader: Reader, length_type: int) -> bytes:
    return reader.rest() if length_type == 3 else reader.take(reader.number(1 << length_type))


def decrypt(message: bytes, password: str) -> bytes:
    """Return the literal data of `message`.

    Raises OpenPgpError when the password is wrong, the message was changed, or its kind is not read here.
    """
    if not password:
        raise OpenPgpError("the password is empty")
    packets = [packet for packet in read_packets(message) if packet.tag != MARKER]
    locks = [packet.body for packet in packets if packet.tag == SKESK]
    if [packet.tag for packet in packets] != [SKESK] * len(locks) + [SEIPD] or not locks:
        raise OpenPgpError(f"expected password packets and one encrypted packet, found tags {[p.tag for p in packets]}")
    problem = OpenPgpError("no password packet")
    for lock in locks:
        try:
            return _literal(_open_sealed(packets[-1].body, _session_key(lock, password.encode())))
        except OpenPgpError as error:
            problem = error
    raise problem


def _session_key(body: bytes, password: bytes) -> bytes:
    reader = Reader(body)
    version, cipher = reader.number(1), reader.number(1)
    if version != 4:
        raise OpenPgpError(f"password packet version {version} is not read here, only 4")
    key = _stretch(reader, password, _key_bytes(cipher))
    sealed = reader.rest()
    if not sealed:
        return key
    opened = _cfb(key, sealed)
    if _key_bytes(opened[0]) != len(opened) - 1:
        raise OpenPgpError("the password is wrong")
    return opened[1:]


def _key_bytes(cipher: int) -> int:
    if cipher not in KEY_BYTES:
        raise OpenPgpError("the password is wrong or the cipher is not AES")
    return KEY_BYTES[cipher]


def _stretch(reader: Reader, password: bytes, size: int) -> bytes:
    kind, hash_id = reader.number(1), reader.number(1)
    if kind not in (0, 1, 3) or hash_id not in HASHES:
        raise OpenPgpError(f"string-to-key kind {kind} with hash {hash_id} is not read here")
    seed = (reader.take(8) if kind else b"") + password
    octet = reader.number(1) if kind == 3 else None
    count = len(seed) if octet is None else max((16 + (octet & 15)) << ((octet >> 4) + 6), len(seed))
    key, zeros = b"", 0
    while len(key) < size:
        key += _hash_repeated(HASHES[hash_id], bytes(zeros), seed, count)
        zeros += 1
    return key[:size]


def _hash_repeated(name: str, prefix: bytes, seed: bytes, count: int) -> bytes:
    digest = hashlib.new(name, prefix)
    block = seed * (65536 // len(seed) + 1)
    for _ in range(count // len(block)):
        digest.update(block)
    digest.update(block[: count % len(block)])
    return digest.digest()


def _cfb(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(AES(key), CFB(bytes(BLOCK_BYTES))).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _open_sealed(body: bytes, key: bytes) -> bytes:
    if body[:1] != b"\x01":
        raise OpenPgpError("only encrypted packets of version 1 are read here")
    if len(body) < 1 + BLOCK_BYTES + 2 + MDC_BYTES:
        raise OpenPgpError("the message is cut off")
    opened = _cfb(key, body[1:])
    digest = hashlib.sha1(opened[:-20], usedforsecurity=False).digest()
    if opened[-MDC_BYTES:-20] != b"\xd3\x14" or not hmac.compare_digest(digest, opened[-20:]):
        raise OpenPgpError("the message was changed or the key is not its own")
    return opened[BLOCK_BYTES + 2 : -MDC_BYTES]


def _literal(data: bytes) -> bytes:
    packets = list(read_packets(data))
    if [packet.tag for packet in packets] != [LITERAL]:
        raise OpenPgpError(f"expected one literal packet inside, found tags {[packet.tag for packet in packets]}")
    reader = Reader(packets[0].body)
    reader.take(1)
    reader.take(reader.number(1))
    reader.take(4)
    return reader.rest()
