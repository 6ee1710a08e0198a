"""What we encrypt is opened by the libraries that Vana's TEE, refiners and users have; and the other way round."""

import random
from collections.abc import Callable

import pytest

from partners.akave.encoding import decrypt, encrypt, new_record_key
from tests.interop.conftest import Ask

LIBRARIES = ("openpgp5", "openpgp6")


def payloads() -> list[bytes]:
    """Return payloads whose packets cross every length of header, and a few at random."""
    draw = random.Random(20261122)
    sizes = [0, 1, 100, 133, 134, 135, 183, 184, 192, 1024, 8_330, 8_340, 8_383, 8_384, 70_000]
    return [draw.randbytes(size) for size in (*sizes, *(draw.randrange(20_000) for _ in range(10)))]


@pytest.mark.npm
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_we_write_is_opened_by_openpgp_js(ask_node: Ask, library: str) -> None:
    wanted, keys = payloads(), [new_record_key() for _ in payloads()]

    answers = ask_node(
        [
            {"do": "open", "with": library, "message": encrypt(payload, key).hex(), "password": key}
            for payload, key in zip(wanted, keys, strict=True)
        ]
    )

    assert answers == [{"ok": payload.hex()} for payload in wanted]


@pytest.mark.npm
@pytest.mark.parametrize("library", LIBRARIES)
def test_openpgp_js_refuses_what_is_damaged(ask_node: Ask, library: str) -> None:
    key = new_record_key()
    message = encrypt(b"secret", key)
    damaged = message[:-1] + bytes([message[-1] ^ 1])

    answers = ask_node(
        [
            {"do": "open", "with": library, "message": damaged.hex(), "password": key},
            {"do": "open", "with": library, "message": message.hex(), "password": new_record_key()},
        ]
    )

    assert all("Error" in answer["error"] for answer in answers)


@pytest.mark.npm
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_openpgp_js_writes_is_opened_by_us(ask_node: Ask, library: str) -> None:
    wanted = payloads()[:12]

    answers = ask_node(
        [{"do": "seal", "with": library, "message": payload.hex(), "password": "password"} for payload in wanted]
    )

    assert [decrypt(bytes.fromhex(answer["ok"]), "password") for answer in answers] == wanted


def test_what_we_write_is_opened_by_gnupg(gpg: Callable[..., bytes]) -> None:
    for payload in payloads()[:15]:
        key = new_record_key()

        assert gpg("--decrypt", password=key, message=encrypt(payload, key)) == payload


@pytest.mark.parametrize("size", [0, 100, 600, 20_000, 70_000])
def test_what_gnupg_writes_is_opened_by_us(gpg: Callable[..., bytes], size: int) -> None:
    # From standard input it writes partial body lengths once a message is longer than its buffer.
    payload = random.Random(size).randbytes(size)

    message = gpg("--symmetric", "--compress-algo", "none", password="password", message=payload)

    assert decrypt(message, "password") == payload
