"""What we sign equals what wallets sign: every typed document and text of the vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from partners.vana import signature

VECTORS = Path(__file__).parents[2] / "vectors" / "vana"
KEYS = json.loads((VECTORS / "keys.json").read_text())
DPV2 = json.loads((VECTORS / "dpv2.json").read_text())
PERMISSION = json.loads((VECTORS / "v1_permission_eip712.json").read_text())
KEY = KEYS["user_private_key"]
DOCUMENTS = {"addData": DPV2["addData"], "grant": DPV2["grant"], "permission": PERMISSION}
FIELDS = {
    "chainId": 14800,
    "nonce": 7,
    "to": KEYS["user_address"],
    "data": "0x1234",
    "value": 5,
    "gas": 21_500,
    "maxFeePerGas": 3 * 10**9,
    "maxPriorityFeePerGas": 10**9,
}


def test_an_address_comes_from_its_key() -> None:
    assert signature.address_of(KEY) == KEYS["user_address"]
    assert signature.address_of(KEY.removeprefix("0x")) == KEYS["user_address"]


@pytest.mark.parametrize("key", ["00" * 32, "ff" * 32, "12", "no key"])
def test_what_is_no_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match=r"^this is no private key of secp256k1$"):
        signature.address_of(key)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_typed_data_is_signed_as_wallets_do(name: str) -> None:
    document: dict[str, Any] = DOCUMENTS[name]

    assert signature.hash_typed_data(document["typed"]) == document["digest"]
    assert signature.sign_typed_data(KEY, document["typed"]) == document["signature"]


@pytest.mark.parametrize("name", ["v1", "dp"])
def test_texts_are_signed_as_wallets_do(name: str) -> None:
    wanted = KEYS["v1_signature_eip191" if name == "v1" else "dp_signature"]

    assert signature.sign_text(KEY, KEYS[f"{name}_message"]) == wanted


def test_a_web3signed_header_is_signed_over_its_base64_text() -> None:
    text, _, signed = DPV2["web3signed"]["header"].removeprefix("Web3Signed ").partition(".")

    assert signature.sign_text(KEY, text) == signed


def test_the_same_fields_give_the_same_transaction() -> None:
    first, second = signature.sign_transaction(KEY, FIELDS), signature.sign_transaction(KEY, FIELDS)

    assert first == second
    assert (first.nonce, len(first.tx_hash), first.raw[0]) == (7, 66, 2)


def test_a_higher_fee_gives_another_hash() -> None:
    first = signature.sign_transaction(KEY, FIELDS)
    second = signature.sign_transaction(KEY, {**FIELDS, "maxFeePerGas": 4 * 10**9})

    assert first.tx_hash != second.tx_hash


def test_a_signer_is_found_by_its_signature() -> None:
    digest = b"\x07" * 32
    signed = signature._account(KEY).sign_message(signature.encode_defunct(digest)).signature

    assert signature.find_signer(digest, bytes(signed)) == KEYS["user_address"]


@pytest.mark.parametrize("broken", [b"", b"\x00" * 65, b"\xff" * 65, b"\x11" * 64])
def test_a_broken_signature_has_no_signer(broken: bytes) -> None:
    assert signature.find_signer(b"\x07" * 32, broken) is None


@pytest.mark.parametrize(
    ("changes", "is_void"),
    [({"data": "0x", "value": 0}, True), ({"value": 0}, False), ({"data": "0x"}, False)],
)
def test_a_transfer_of_nothing_is_known_by_its_bytes(changes: dict[str, Any], is_void: bool) -> None:
    signed = signature.sign_transaction(KEY, {**FIELDS, **changes})

    assert signature.is_void(signed.raw, KEYS["user_address"]) == is_void
