"""What is written stays the same for ever; what is read is right or refused."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.akave.encoding import DecryptionError, decrypt, encrypt, new_record_key
from verify.openpgp import decrypt as verify_decrypt

VECTORS = Path(__file__).parents[2] / "vectors/vana"
MANIFEST = json.loads((VECTORS / "openpgp_manifest.json").read_text())
KEY = "0x" + "5a" * 32
BIG = bytes((i * 31 + 7) & 255 for i in range(70_000))

# "hello" encrypted by GnuPG 2.2 with the password "test only"
GNUPG = {
    "iterated, SHA-1 twice, AES-256": (
        "jA0ECQMC32Y1/Uqr5Ghg0jsBjiIqmP7uFSazc6VYKPPMA31vyQ/D7e8dVMybfnoSjy5HNghyjuWaQv29dB4oTC9LF223mNOQHn0aAQ=="
    ),
    "simple, SHA-1, AES-128": (
        "jAQEBwAC0jsBZG2A5/A71pxpoqGqT8CSyjJRC5zXVvGxNlAwEziVsz9ynQOWKlILTOJSWb7FR07nRGE0+e1HZ6b5tw=="
    ),
    "salted, SHA-512, AES-192": (
        "jAwECAEKvOO2MeDDVdHSOwG2urCmM59fcbAwztjrgtLJ+IwZK3wdbfjcsn7mQi2zGJQeGsK1ft6UFQgbsMZU+uy4uylQ8uEsSLA6"
    ),
}
COMPRESSED = (
    "jA0ECQMCGXxR+gaCaadg0j8Bi5PRaGcqAuDUt95X4rzQZX0OWvcOwjFhiBOK5/gBsCb1VSFeBGgdJDI9E9Jkjfrqg4Lly4zYBmiKadrILVY="
)
CAMELLIA = "jA0EDQMCsbQImfFs7DBg0jsBD9VQonE4Zfaqs2fI5mUvpLnlNzOH14jVgxA6N90ADyCTplGJb9jxV6p+818et824dc5ZMaTGnwi3YQ=="


def vector(entry: dict[str, Any]) -> tuple[bytes, str]:
    keys = json.loads((VECTORS / "keys.json").read_text())
    password = {"v1sig": keys["v1_password"], "dpscope": keys["dp_scope_key_hex_password"]}[entry["password"]]
    return (VECTORS / entry["file"]).read_bytes(), password


def split(message: bytes) -> tuple[bytes, bytes]:
    """Return the two packets of a message of ours; the first is of 48 bytes."""
    return message[:48], message[48:]


@pytest.mark.parametrize("entry", [e for e in MANIFEST if "AEAD" not in e["file"]], ids=lambda e: e["file"])
def test_a_message_of_openpgp_js_is_opened(entry: dict[str, Any]) -> None:
    message, password = vector(entry)

    payload = decrypt(message, password)

    assert len(payload) == entry["plaintext_len"]
    assert hashlib.sha256(payload).hexdigest() == entry["plaintext_sha256"]


def test_an_aead_message_is_refused_by_name() -> None:
    (entry,) = [e for e in MANIFEST if "AEAD" in e["file"]]

    with pytest.raises(DecryptionError, match="AEAD"):
        decrypt(*vector(entry))


def test_every_openpgp_vector_is_in_the_manifest() -> None:
    assert {path.name for path in VECTORS.glob("*.pgp")} == {entry["file"] for entry in MANIFEST}


@pytest.mark.parametrize("message", GNUPG.values(), ids=list(GNUPG))
def test_a_message_of_gnupg_is_opened(message: str) -> None:
    assert decrypt(base64.b64decode(message), "test only") == b"hello"


@pytest.mark.parametrize(("message", "reason"), [(COMPRESSED, "compressed"), (CAMELLIA, "cipher")])
def test_what_is_not_read_is_refused_by_reason(message: str, reason: str) -> None:
    with pytest.raises(DecryptionError, match=reason):
        decrypt(base64.b64decode(message), "test only")


@pytest.mark.parametrize("size", [0, 1, 40, 41, 42, 1024, 8_000, 8_320, 8_330, 8_340, 8_400, 70_000])
def test_what_is_written_is_opened_again(size: int) -> None:
    assert decrypt(encrypt(BIG[:size], KEY), KEY) == BIG[:size]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=10_000))
def test_any_payload_survives(payload: bytes) -> None:
    key = new_record_key()

    assert decrypt(encrypt(payload, key), key) == payload


def test_the_same_arguments_give_the_same_bytes_for_ever() -> None:
    # Retries after a deploy must send what was sent before: this digest may never change.
    message = encrypt(b'{"pulse": 61}', KEY)

    assert hashlib.sha256(message).hexdigest() == "4f9f38705ce53fb6893f802094f9e5e101a5814a37fdb010f85aba574d3310c5"
    assert message == encrypt(b'{"pulse": 61}', KEY)


def test_another_payload_or_key_shares_no_block() -> None:
    one, other, third = encrypt(b"a" * 64, KEY), encrypt(b"a" * 63 + b"b", KEY), encrypt(b"a" * 64, new_record_key())

    for message in (other, third):
        assert len(message) == len(one)
        assert not [i for i in range(8, len(one) - 16, 16) if one[i : i + 16] == message[i : i + 16]]


def test_record_keys_differ() -> None:
    keys = {new_record_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(len(key) == 66 and key.startswith("0x") for key in keys)


@pytest.mark.parametrize(
    "key", ["", "5a" * 32, "0x" + "5A" * 32, "0x" + "5a" * 31, "0x" + "5g" * 32, "0x" + "5a" * 64, KEY + "\n"]
)
def test_a_malformed_record_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="64 hex characters"):
        encrypt(b"", key)


def test_a_signature_is_a_record_key_as_well() -> None:
    signature = "0x" + "a5" * 65

    message = encrypt(b"secret", signature)

    assert message == encrypt(b"secret", signature)
    assert decrypt(message, signature) == verify_decrypt(message, signature) == b"secret"


@pytest.mark.parametrize("password", ["", KEY[2:], KEY.upper(), new_record_key()])
def test_a_wrong_password_is_refused(password: str) -> None:
    with pytest.raises(DecryptionError):
        decrypt(encrypt(b"secret", KEY), password)


def test_many_wrong_passwords_never_yield_anything() -> None:
    # One in 256 wrong passwords gives a session key that looks right: the message's own check must catch it.
    message = encrypt(b"secret", KEY)

    for number in range(1_000):
        with pytest.raises(DecryptionError):
            decrypt(message, f"wrong {number}")


def test_any_flipped_bit_is_refused() -> None:
    message = encrypt(b"secret", KEY)

    for position in range(len(message) * 8):
        damaged = bytearray(message)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(DecryptionError):
            decrypt(bytes(damaged), KEY)


def test_any_truncation_is_refused() -> None:
    message = encrypt(b"secret", KEY)

    for size in range(len(message)):
        with pytest.raises(DecryptionError):
            decrypt(message[:size], KEY)


@pytest.mark.parametrize("message", [b"", b"-----BEGIN PGP MESSAGE-----", b"{}", b"\xc3\x01\x04", b"\xd2\x01\x01"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(DecryptionError):
        decrypt(message, KEY)


def test_partial_body_lengths_are_read() -> None:
    first, second = split(encrypt(BIG[:2_000], KEY))
    body = second[3:]
    parts = b"\xe9" + body[:512] + b"\xe8" + body[512:768] + b"\xff" + len(body[768:]).to_bytes(4) + body[768:]

    assert decrypt(first + b"\xd2" + parts, KEY) == BIG[:2_000]


@pytest.mark.parametrize("header", [b"\x8c\x2e", b"\x8d\x00\x2e", b"\x8e\x00\x00\x00\x2e"])
def test_old_headers_are_read(header: bytes) -> None:
    first, second = split(encrypt(b"secret", KEY))

    assert decrypt(header + first[2:] + second, KEY) == b"secret"


def test_an_old_header_without_a_length_reaches_to_the_end() -> None:
    with pytest.raises(DecryptionError, match="no encrypted data"):
        decrypt(b"\x8f" + encrypt(b"secret", KEY)[2:], KEY)


def test_markers_are_passed_over_and_each_password_opens() -> None:
    first, second = split(encrypt(b"secret", KEY))
    foreign, _ = split(encrypt(b"other", new_record_key()))

    assert decrypt(b"\xca\x03PGP" + foreign + first + second, KEY) == b"secret"


def test_a_packet_of_another_kind_is_refused_by_tag() -> None:
    with pytest.raises(DecryptionError, match="tag 9"):
        decrypt(b"\xc9\x02ab", KEY)
