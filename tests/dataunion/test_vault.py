"""The vault: what is sealed opens in its own row only, under any key of the ring, and wraps anew."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from dataunion import vault
from dataunion.vault import UnknownKeyError, VaultError

OLD, NEW = base64.b64encode(b"o" * 32).decode(), base64.b64encode(b"n" * 32).decode()


@pytest.fixture(autouse=True)
def _old_ring() -> Iterator[None]:
    with override_settings(VAULT_KEYS=[OLD]):
        yield


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1000])
def test_what_is_sealed_opens_where_it_belongs(data: bytes) -> None:
    assert vault.open_sealed(vault.seal(data, "t", 1, "akave"), "t", 1, "akave") == data


def test_sealing_twice_gives_different_bytes_that_hold_nothing_readable() -> None:
    first, second = vault.seal(b"PLANTED-MARKER", "t", 1), vault.seal(b"PLANTED-MARKER", "t", 1)

    assert first != second
    assert b"PLANTED" not in first + second


@pytest.mark.parametrize("other", [("t", 2, "akave"), ("t", 1, "vana"), ("u", 1, "akave"), ("t", 1), ()])
def test_it_opens_in_no_other_row(other: tuple[Any, ...]) -> None:
    envelope = vault.seal(b"x", "t", 1, "akave")

    with pytest.raises(VaultError, match=r"^sealed bytes do not belong to this row, or are damaged$"):
        vault.open_sealed(envelope, *other)


@pytest.mark.parametrize("position", [9, 21, 40, 69, 81, -1])
def test_a_flipped_byte_is_noticed(position: int) -> None:
    envelope = bytearray(vault.seal(b"health data", "t", 1))
    envelope[position] ^= 1

    with pytest.raises(VaultError, match="damaged"):
        vault.open_sealed(bytes(envelope), "t", 1)


@pytest.mark.parametrize("length", [0, 1, 8, 9, 20, 69, 75, 81, 96])
def test_a_cut_envelope_is_noticed(length: int) -> None:
    with pytest.raises(VaultError, match="damaged"):
        vault.open_sealed(vault.seal(b"", "t", 1)[:length], "t", 1)


def test_another_version_is_refused() -> None:
    with pytest.raises(VaultError, match="damaged"):
        vault.open_sealed(b"\x02" + vault.seal(b"x", "t", 1)[1:], "t", 1)


def test_older_keys_open_and_the_newest_seals() -> None:
    old = vault.seal(b"x", "t", 1)

    with override_settings(VAULT_KEYS=[NEW, OLD]):
        assert vault.open_sealed(old, "t", 1) == b"x"
        new = vault.seal(b"x", "t", 1)
        assert (vault.is_newest(old), vault.is_newest(new)) == (False, True)

    with pytest.raises(UnknownKeyError):
        vault.open_sealed(new, "t", 1)


def test_an_unknown_key_is_named_by_its_id_and_not_by_itself() -> None:
    envelope = vault.seal(b"x", "t", 1)

    with override_settings(VAULT_KEYS=[NEW]), pytest.raises(UnknownKeyError) as refused:
        vault.open_sealed(envelope, "t", 1)

    key_id = envelope[1:9].hex()
    assert str(refused.value) == f"no key {key_id} in DATAUNION_VAULT_KEYS; put back the key that sealed this"
    assert OLD not in str(refused.value)


def test_wrapping_anew_leaves_the_data_untouched() -> None:
    old = vault.seal(b"x", "t", 1)

    with override_settings(VAULT_KEYS=[NEW, OLD]):
        new = vault.rewrap(old, "t", 1)

    assert new[69:] == old[69:]
    with override_settings(VAULT_KEYS=[NEW]):
        assert vault.open_sealed(new, "t", 1) == b"x"


def test_wrapping_anew_for_another_row_is_refused() -> None:
    with pytest.raises(VaultError):
        vault.rewrap(vault.seal(b"x", "t", 1), "t", 2)


def test_json_survives_and_nothing_is_an_empty_object() -> None:
    value = {"a": [1, None, "é"], "b": {"c": 1.5}}

    assert vault.open_json(vault.seal_json(value, "t"), "t") == value
    assert vault.open_json(None, "t") == {}


def test_an_envelope_survives_as_text() -> None:
    envelope = vault.seal(b"x", "t")

    assert vault.from_text(vault.to_text(envelope)) == envelope


def test_a_digest_says_same_content_and_nothing_without_its_key() -> None:
    with override_settings(DIGEST_KEY=OLD):
        first, same, other = (vault.content_digest(data) for data in (b"x", b"x", b"y"))
    with override_settings(DIGEST_KEY=NEW):
        elsewhere = vault.content_digest(b"x")

    assert first == same
    assert len({first, other, elsewhere}) == 3


def test_a_new_key_is_one_that_the_settings_take() -> None:
    keys = {vault.new_key() for _ in range(5)}

    assert {len(base64.b64decode(key)) for key in keys} == {32}
    assert len(keys) == 5
