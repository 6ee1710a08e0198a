"""What is signed with a private key, and who signed what: transactions, texts (EIP-191), typed data (EIP-712).

The only file beside the sandboxes that knows eth_account. Pure: no network, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_utils import keccak

from partners.base import SignedTx


def address_of(private_key: str) -> str:
    """Return the checksummed address of a private key. Raises ValueError when it is none."""
    try:
        return str(_account(private_key).address)
    except Exception:  # what the libraries raise here may quote the key
        raise ValueError("this is no private key of secp256k1") from None


def sign_transaction(private_key: str, fields: Mapping[str, Any]) -> SignedTx:
    """Sign an EIP-1559 transaction; the same fields give the same bytes and hash.

    `fields`: chainId, nonce, to, data, value, gas, maxFeePerGas, maxPriorityFeePerGas; amounts in wei.
    """
    signed = _account(private_key).sign_transaction({"type": 2, **fields})
    return SignedTx(nonce=fields["nonce"], tx_hash="0x" + bytes(signed.hash).hex(), raw=bytes(signed.raw_transaction))


def is_void(raw: bytes, signer: str) -> bool:
    """Say whether a signed transaction is a transfer of nothing by the signer to itself."""
    no_value_data_or_access_list = b"\x80\x80\xc0"
    return b"\x94" + bytes.fromhex(signer[2:]) + no_value_data_or_access_list in raw  # as RLP writes it


def sign_text(private_key: str, text: str) -> str:
    """Sign as a wallet's personal_sign does: 0x + 130 hex."""
    return _hex(_account(private_key).sign_message(encode_defunct(text=text)).signature)


def sign_typed_data(private_key: str, typed: Mapping[str, Any]) -> str:
    """Sign an EIP-712 document {domain, types, primaryType, message}: 0x + 130 hex."""
    return _hex(_account(private_key).sign_message(_typed(typed)).signature)


def hash_typed_data(typed: Mapping[str, Any]) -> str:
    """Return the EIP-712 digest that a signature covers: 0x + 64 hex."""
    message = _typed(typed)
    return _hex(keccak(b"\x19" + message.version + message.header + message.body))


def find_signer(digest: bytes, signature: bytes) -> str | None:
    """Return the address that signed this digest as an EIP-191 message, or None when the signature is broken."""
    try:
        return str(Account.recover_message(encode_defunct(digest), signature=signature))
    except Exception:  # eth_keys, eth_account and coincurve each raise their own for a malformed signature
        return None


def _account(private_key: str) -> Any:
    return Account.from_key(private_key)


def _typed(typed: Mapping[str, Any]) -> Any:
    return encode_typed_data(typed["domain"], typed["types"], _numbers(typed["message"], typed))


def _numbers(message: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the decimal strings of JSON documents into the integers that the encoder wants."""
    kinds = {field["name"]: field["type"] for field in typed["types"][typed["primaryType"]]}
    return {name: _number(value, kinds[name]) for name, value in message.items()}


def _number(value: Any, kind: str) -> Any:
    if not kind.startswith(("uint", "int")):
        return value
    return [int(one) for one in value] if isinstance(value, list) else int(value)


def _hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()
