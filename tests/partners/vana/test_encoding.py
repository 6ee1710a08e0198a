"""ECIES and the refinement key against what the JavaScript libraries really wrote."""

from __future__ import annotations

import hmac
import json
from hashlib import sha512
from pathlib import Path

import pytest
from coincurve import PublicKey

from partners.vana import encoding

VECTORS = Path(__file__).parents[2] / "vectors" / "vana"
ECIES = json.loads((VECTORS / "ecies.json").read_text())
KEYS = json.loads((VECTORS / "keys.json").read_text())
PRIVATE = bytes.fromhex(ECIES["recipient_private"])
PUBLIC = bytes.fromhex(ECIES["recipient_public"])
NAMED = {vector["name"]: vector for vector in ECIES["vectors"]}
REPRODUCIBLE = [name for name, vector in NAMED.items() if "ephem_private" in vector and "shared_x" not in vector]
MESSAGE = b"0x" + b"ab" * 32


def draw_leading_zero() -> tuple[bytes, bytes]:
    vector = NAMED["eccrypto_leading_zero_X"]
    return bytes.fromhex(vector["iv"]), bytes.fromhex(vector["ephem_private"])


@pytest.mark.parametrize("name", NAMED)
def test_every_vector_is_opened(name: str) -> None:
    opened = encoding.ecies_decrypt(PRIVATE, NAMED[name]["ciphertext_hex"])

    assert opened.decode() == NAMED[name]["plaintext_utf8"]


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_every_fixed_vector_is_written_byte_for_byte(name: str) -> None:
    vector = NAMED[name]

    written = encoding.ecies_encrypt(
        PUBLIC,
        vector["plaintext_utf8"].encode(),
        iv=bytes.fromhex(vector["iv"]),
        ephemeral_private_key=bytes.fromhex(vector["ephem_private"]),
    )

    assert written == vector["ciphertext_hex"]
    assert len(written) == 2 * vector["len_bytes"]


def test_two_vectors_can_be_written_byte_for_byte() -> None:
    assert REPRODUCIBLE == ["eccrypto_fixed", "dlp_ui_template_fixed"]


def test_a_shared_secret_with_a_leading_zero_is_refused() -> None:
    iv, ephemeral = draw_leading_zero()

    with pytest.raises(encoding.LeadingZeroError, match="starts with a zero byte"):
        encoding.ecies_encrypt(PUBLIC, MESSAGE, iv=iv, ephemeral_private_key=ephemeral)


def test_drawn_secrets_never_have_a_leading_zero_and_never_repeat() -> None:
    drawn = [encoding.ecies_seal(PUBLIC, MESSAGE) for _ in range(600)]

    for blob, iv, ephemeral in drawn:
        assert blob == encoding.ecies_encrypt(PUBLIC, MESSAGE, iv=iv, ephemeral_private_key=ephemeral)
        assert (len(iv), len(ephemeral)) == (16, 32)
    assert len({sealed.iv for sealed in drawn}) == len({sealed.ephemeral for sealed in drawn}) == 600


@pytest.mark.parametrize(
    "public_key",
    [PUBLIC, PUBLIC[1:], bytes.fromhex(KEYS["dlp_public_key_compressed"])],
    ids=["65 bytes", "64 bytes", "33 bytes"],
)
def test_every_form_of_public_key_gives_the_same_message(public_key: bytes) -> None:
    blob, iv, ephemeral = encoding.ecies_seal(public_key, MESSAGE)

    assert blob == encoding.ecies_encrypt(PUBLIC, MESSAGE, iv=iv, ephemeral_private_key=ephemeral)
    assert encoding.ecies_decrypt(PRIVATE, blob) == MESSAGE


@pytest.mark.parametrize(
    "text",
    [PUBLIC.hex(), "0x" + PUBLIC.hex(), PUBLIC[1:].hex(), " " + KEYS["dlp_public_key_compressed"] + "\n"],
)
def test_a_public_key_is_read_from_every_text_form(text: str) -> None:
    assert encoding.parse_public_key(text) == PUBLIC


HYBRIDS = ["06" + PUBLIC[1:].hex(), "07" + PUBLIC[1:].hex()]  # of the two, one fits the point


@pytest.mark.parametrize("text", ["", "0x", "nothing", "04" + "00" * 64, "ab" * 65, *HYBRIDS])
def test_a_text_that_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        encoding.parse_public_key(text)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 66])
def test_a_message_of_any_length_comes_back(size: int) -> None:
    blob = encoding.ecies_seal(PUBLIC, b"x" * size).blob

    assert blob == blob.lower()
    assert encoding.ecies_decrypt(PRIVATE, blob) == b"x" * size


@pytest.mark.parametrize("position", [0, 20, 90, 250])
def test_a_flipped_bit_is_noticed(position: int) -> None:
    blob = bytearray.fromhex(NAMED["eccrypto_fixed"]["ciphertext_hex"])
    blob[position] ^= 1

    with pytest.raises(encoding.EciesError):
        encoding.ecies_decrypt(PRIVATE, blob.hex())


@pytest.mark.parametrize("text", ["", "zz", "00" * 129, "00" * 140, "00" * 145])
def test_a_text_that_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(encoding.EciesError):
        encoding.ecies_decrypt(PRIVATE, text)


def test_a_message_for_another_key_is_refused() -> None:
    with pytest.raises(encoding.EciesError, match="not for this key"):
        encoding.ecies_decrypt(b"\x01" * 32, NAMED["eccrypto_fixed"]["ciphertext_hex"])


def test_wrong_padding_under_a_right_mac_is_refused() -> None:
    body = bytes.fromhex(NAMED["eccrypto_fixed"]["ciphertext_hex"])[:-48]
    shared = PublicKey(body[16:81]).multiply(PRIVATE).format()[1:]
    mac = hmac.digest(sha512(shared).digest()[32:], body, "sha256")

    with pytest.raises(encoding.EciesError, match="padded wrongly"):
        encoding.ecies_decrypt(PRIVATE, (body + mac).hex())


def test_the_refinement_key_is_that_of_the_refinement_service() -> None:
    assert encoding.refinement_key(KEYS["v1_password"]) == KEYS["refinement_key"]["value"]


def test_the_dlps_key_pair_is_the_one_of_the_messages() -> None:
    derived = PublicKey.from_secret(bytes.fromhex(KEYS["dlp_private_key"])).format(compressed=False)

    assert derived.hex() == KEYS["dlp_public_key_uncompressed"] == PUBLIC.hex()
