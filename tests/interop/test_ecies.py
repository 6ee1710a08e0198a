"""Keys that we encrypt for the DLP and the TEE are opened by eccrypto; what it writes is opened by us."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from partners.akave.encoding import new_record_key
from partners.vana.encoding import ecies_decrypt, ecies_seal
from tests.interop.conftest import Ask

# Among so many, one in 256 shared secrets starts with a zero byte.
MANY = 600


def key_pair() -> tuple[bytes, bytes]:
    private = ec.generate_private_key(ec.SECP256K1())
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return private.private_numbers().private_value.to_bytes(32, "big"), public


@pytest.mark.npm
def test_what_we_write_is_opened_by_eccrypto(ask_node: Ask) -> None:
    private, public = key_pair()
    messages = [b"", b"x" * 15, b"x" * 16, os.urandom(1000), *(new_record_key().encode() for _ in range(MANY))]
    blobs = [ecies_seal(public, message).blob for message in messages]

    answers = ask_node([{"do": "ecies_open", "message": blob, "private_key": private.hex()} for blob in blobs])

    assert answers == [{"ok": message.hex()} for message in messages]


@pytest.mark.npm
def test_what_eccrypto_writes_is_opened_by_us(ask_node: Ask) -> None:
    private, public = key_pair()
    messages = [new_record_key().encode() for _ in range(MANY)]

    answers = ask_node([{"do": "ecies_seal", "message": m.hex(), "public_key": public.hex()} for m in messages])

    assert [ecies_decrypt(private, answer["ok"]) for answer in answers] == messages


@pytest.mark.npm
def test_eccrypto_refuses_what_is_damaged(ask_node: Ask) -> None:
    private, public = key_pair()
    blob = bytearray.fromhex(ecies_seal(public, b"secret").blob)
    blob[-1] ^= 1

    (answer,) = ask_node([{"do": "ecies_open", "message": blob.hex(), "private_key": private.hex()}])

    assert "error" in answer
