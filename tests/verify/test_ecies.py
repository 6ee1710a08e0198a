"""The verification's own ECIES reader, against messages of eccrypto and vana-sdk."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from partners.vana.encoding import ecies_seal
from verify.ecies import EciesError, decrypt, load_private_key, parse

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "vana" / "ecies.json").read_text())
KEY = load_private_key(VECTORS["recipient_private"])
PUBLIC = bytes.fromhex(VECTORS["recipient_public"])
GOOD = VECTORS["vectors"][0]["ciphertext_hex"]


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_messages_of_the_javascript_libraries_are_opened(vector):
    assert decrypt(vector["ciphertext_hex"], KEY) == vector["plaintext_utf8"].encode()
    assert decrypt("0x" + vector["ciphertext_hex"], KEY) == vector["plaintext_utf8"].encode()


def test_our_own_messages_are_opened():
    assert decrypt(ecies_seal(PUBLIC, b"key").blob, KEY) == b"key"


@pytest.mark.parametrize("at", [0, 20, 100, -1])
def test_a_changed_byte_is_noticed(at):
    raw = bytearray.fromhex(GOOD)
    raw[at] ^= 1

    with pytest.raises(EciesError):
        decrypt(raw.hex(), KEY)


def test_another_recipient_cannot_open_it():
    with pytest.raises(EciesError, match="for another recipient"):
        decrypt(GOOD, load_private_key("0x" + "11" * 32))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "0 bytes long"), ("zz", "not hexadecimal"), ("00" * 130, "130 bytes long"), ("00" * 129, "no point")],
)
def test_what_is_no_message_is_refused_with_its_reason(text, reason):
    with pytest.raises(EciesError, match=reason):
        decrypt(text, KEY)


def test_wrong_padding_is_refused():
    sealed = parse(GOOD)
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), sealed.ephemeral)
    keys = hashlib.sha512(KEY.exchange(ec.ECDH(), theirs)).digest()
    encryptor = Cipher(AES(keys[:32]), CBC(sealed.iv)).encryptor()
    body = sealed.iv + sealed.ephemeral + encryptor.update(bytes(16)) + encryptor.finalize()

    with pytest.raises(EciesError, match="padding is wrong"):
        decrypt((body + hmac.digest(keys[32:], body, "sha256")).hex(), KEY)


@pytest.mark.parametrize("text", ["", "12", "zz" * 32, "00" * 32, "ff" * 32])
def test_what_is_no_private_key_is_refused(text):
    with pytest.raises(ValueError):
        load_private_key(text)
