"""Registrations of the old service: found by their URL, never made twice, with the key that stands on chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from partners.base import REVOKE, Item, Required, Verdict
from partners.sandbox.chain.deploy import public_key, role_key
from partners.vana.encoding import ecies_decrypt, ecies_encrypt, parse_public_key
from tests.partners.vana.test_encoding import NAMED, PUBLIC
from tests.partners.vana.world import World

SIGNATURE = "0x" + "ab" * 65
FIXED = {"iv": "01" * 16, "ephemeral_key": "22" * 32}


def adopted(world: World, **saved: Any) -> Item:
    url = f"{world.files_url}/0?X-Amz-Signature=1"
    akave = Required(entry={"url": url}, retry_data={"record_key": SIGNATURE})
    return replace(world.item(), required={"akave": akave}, saved=saved or {"fixed": {"url": url, **FIXED}})


def own_key() -> str:
    """Return the key as the old service put it on chain."""
    dlp_key = parse_public_key(public_key(role_key("dlp")))
    secrets = {name: bytes.fromhex(value) for name, value in FIXED.items()}
    return ecies_encrypt(dlp_key, SIGNATURE.encode(), iv=secrets["iv"], ephemeral_private_key=secrets["ephemeral_key"])


def test_a_registered_file_is_taken_over_without_a_transaction(world: World) -> None:
    partner, item = world.partner(), adopted(world)
    url = item.required["akave"].entry["url"]
    world.register_as("signer", url, partner.signer, [(world.addresses.dlp, own_key())])
    sent = len(world.broadcasts())

    (done,) = world.run(partner, item)

    assert partner.receipt(done)["file_id"] == 1
    assert len(world.broadcasts()) == sent
    assert world.count("registry", "filesCount") == 1
    assert not {"fixed", "ecies"} & set(done.saved)


def test_what_was_not_registered_yet_gets_its_own_key(world: World) -> None:
    partner = world.partner()

    world.run(partner, adopted(world))

    assert partner.client.file(1, [world.addresses.dlp]).keys == {world.addresses.dlp: own_key()}


def test_secrets_of_another_url_are_not_used(world: World) -> None:
    partner = world.partner()

    (done,) = world.run(partner, adopted(world, fixed={"url": "https://gone.example/1", **FIXED}))

    [permission] = done.saved["permissions"]
    assert permission["key"] != own_key()
    assert ecies_decrypt(bytes.fromhex(role_key("dlp")[2:]), permission["key"]).decode() == SIGNATURE


def test_the_key_is_eccryptos_also_where_nobody_else_writes_it() -> None:
    vector = NAMED["eccrypto_leading_zero_X"]

    written = ecies_encrypt(
        PUBLIC,
        vector["plaintext_utf8"].encode(),
        iv=bytes.fromhex(vector["iv"]),
        ephemeral_private_key=bytes.fromhex(vector["ephem_private"]),
        as_eccrypto=True,
    )

    assert written == vector["ciphertext_hex"]


def test_a_file_of_which_only_the_url_is_known_is_seen_and_taken_back(world: World) -> None:
    partner, item = world.partner(), adopted(world)
    url = item.required["akave"].entry["url"]
    world.register_as("signer", url, partner.signer, [(world.addresses.dlp, own_key())])
    known = replace(item, saved={"url": url, "file_id": 1})

    seen = partner.verify(known)
    (gone,) = world.run(partner, replace(known, kind=REVOKE))

    assert seen == Verdict(present=True, detail="file 1 is registered; the old service's key is not compared")
    assert partner.client.file(1, [world.addresses.dlp]).keys == {world.addresses.dlp: ""}
    assert "stay in the chain's history" in gone.saved["remains"]


def test_a_file_without_a_url_cannot_be_asked_for(world: World) -> None:
    item = adopted(world, file_id=1)

    assert world.partner().verify(item) == Verdict(
        present=None, detail="nobody knows under which URL it was registered"
    )
