"""The verification's own OpenPGP reader, against messages of openpgp.js and against every length and key form."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from partners.akave.encoding import encrypt
from verify.openpgp import OpenPgpError, decrypt

VECTORS = Path(__file__).parents[1] / "vectors" / "vana"
MANIFEST = {entry["file"]: entry for entry in json.loads((VECTORS / "openpgp_manifest.json").read_text())}
PASSWORDS = {"v1sig": "v1_password", "dpscope": "dp_scope_key_hex_password"}
SALT = b"saltsalt"
SESSION_KEY = bytes(range(32))


def password_of(entry):
    keys = json.loads((VECTORS / "keys.json").read_text())
    return keys[PASSWORDS[entry["password"]]]


def packet(tag, body):
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def cfb(key, data):
    encryptor = Cipher(AES(key), CFB(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def seal(inside, key=SESSION_KEY):
    plain = bytes(16) + bytes(2) + inside + b"\xd3\x14"
    return b"\x01" + cfb(key, plain + hashlib.sha1(plain).digest())


def literal(content):
    return packet(11, b"b\x04name" + bytes(4) + content)


def iterated(password, octet=0, cipher=9, session_key=SESSION_KEY):
    count = (16 + (octet & 15)) << ((octet >> 4) + 6)
    seed = SALT + password
    key = hashlib.sha256((seed * count)[: max(count, len(seed))]).digest()
    lock = bytes([4, 9, 3, 8]) + SALT + bytes([octet])
    return packet(3, lock + cfb(key, bytes([cipher]) + session_key))


@pytest.mark.parametrize("name", [name for name in MANIFEST if "AEAD" not in name])
def test_messages_of_openpgp_js_are_read(name):
    content = decrypt((VECTORS / name).read_bytes(), password_of(MANIFEST[name]))

    assert len(content) == MANIFEST[name]["plaintext_len"]
    assert hashlib.sha256(content).hexdigest() == MANIFEST[name]["plaintext_sha256"]


def test_an_aead_message_is_refused():
    name = "openpgp6_json_v1sig_AEAD.pgp"

    with pytest.raises(OpenPgpError, match="version 6 is not read here"):
        decrypt((VECTORS / name).read_bytes(), password_of(MANIFEST[name]))


def test_every_vector_is_in_the_manifest():
    assert {path.name for path in VECTORS.glob("*.pgp")} == set(MANIFEST)


@pytest.mark.parametrize("size", [0, 1, 100, 191, 192, 8383, 8384, 70_000])
def test_our_own_messages_are_read_at_every_length(size):
    assert decrypt(encrypt(bytes(size), "0x" + "ab" * 32), "0x" + "ab" * 32) == bytes(size)


@pytest.mark.parametrize("octet", [0, 17, 96])
def test_the_count_octet_is_obeyed(octet):
    assert decrypt(iterated(b"word", octet) + packet(18, seal(literal(b"text"))), "word") == b"text"


def test_a_password_longer_than_the_count_is_hashed_whole():
    word = b"w" * 2000

    assert decrypt(iterated(word) + packet(18, seal(literal(b"text"))), word.decode()) == b"text"


def test_partial_lengths_are_joined():
    body = seal(literal(b"x" * 1000))
    parts = bytes([0xC0 | 18, 0xE0 | 9]) + body[:512] + bytes([0xE0 | 8]) + body[512:768]
    rest = body[768:]
    parts += bytes([((len(rest) - 192) >> 8) + 192, (len(rest) - 192) & 255]) + rest

    assert decrypt(iterated(b"word") + parts, "word") == b"x" * 1000


@pytest.mark.parametrize("length_type", [0, 1, 2, 3])
def test_old_headers_are_read(length_type):
    body = b"b\x00" + bytes(4) + b"text"
    length = b"" if length_type == 3 else len(body).to_bytes(1 << length_type, "big")
    inside = bytes([0x80 | 11 << 2 | length_type]) + length + body

    assert decrypt(iterated(b"word") + packet(18, seal(inside)), "word") == b"text"


def test_a_key_made_of_the_password_itself_is_read():
    salted = hashlib.sha1(SALT + b"word").digest() + hashlib.sha1(b"\0" + SALT + b"word").digest()
    simple = hashlib.sha256(b"word").digest()

    by_salt = packet(3, bytes([4, 9, 1, 2]) + SALT) + packet(18, seal(literal(b"one"), salted[:32]))
    by_word = packet(3, bytes([4, 7, 0, 8])) + packet(18, seal(literal(b"two"), simple[:16]))

    assert decrypt(by_salt, "word") == b"one"
    assert decrypt(by_word, "word") == b"two"


def test_each_password_packet_is_tried():
    message = iterated(b"first") + packet(10, b"PGP") + iterated(b"second") + packet(18, seal(literal(b"text")))

    assert decrypt(message, "first") == b"text"
    assert decrypt(message, "second") == b"text"


def test_any_flipped_byte_is_noticed():
    message = encrypt(b'{"pulse": 60}', "0x" + "ab" * 32)

    for at in range(len(message)):
        changed = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        with pytest.raises(OpenPgpError):
            decrypt(changed, "0x" + "ab" * 32)


def test_any_cut_message_is_noticed():
    message = encrypt(b'{"pulse": 60}', "0x" + "ab" * 32)

    for length in range(len(message)):
        with pytest.raises(OpenPgpError):
            decrypt(message[:length], "0x" + "ab" * 32)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (iterated(b"word") + packet(18, seal(literal(b""))) + packet(11, b"more"), "expected password packets"),
        (packet(18, seal(literal(b""))), "expected password packets"),
        (b"-----BEGIN PGP MESSAGE-----", "not a binary OpenPGP message"),
        (iterated(b"word") + packet(18, seal(literal(b"") + literal(b""))), "expected one literal packet"),
        (iterated(b"word") + packet(18, seal(packet(8, b"\x00"))), "expected one literal packet"),
        (iterated(b"word") + packet(18, b"\x02" + bytes(60)), "only encrypted packets of version 1"),
        (iterated(b"word") + packet(18, b"\x01" + bytes(20)), "cut off"),
        (iterated(b"word") + packet(18, b"\x01" + bytes(60)), "was changed or the key is not its own"),
        (iterated(b"other") + packet(18, seal(literal(b""))), "the password is wrong"),
        (iterated(b"word", cipher=7) + packet(18, seal(literal(b""))), "the password is wrong"),
        (packet(3, bytes([4, 9, 2, 8])) + packet(18, seal(b"")), "string-to-key kind 2 with hash 8"),
        (packet(3, bytes([4, 9, 3, 1])) + packet(18, seal(b"")), "string-to-key kind 3 with hash 1"),
        (packet(3, bytes([4, 2, 3, 8])) + packet(18, seal(b"")), "cipher is not AES"),
    ],
)
def test_anything_else_is_refused_with_its_reason(message, reason):
    with pytest.raises(OpenPgpError, match=reason):
        decrypt(message, "word")


def test_an_empty_password_opens_nothing():
    with pytest.raises(OpenPgpError, match="the password is empty"):
        decrypt(iterated(b"word"), "")
