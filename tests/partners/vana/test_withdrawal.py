"""Taking back blanks what we may blank, waits for what is on its way, and says what remains."""

from __future__ import annotations

from dataclasses import replace

from partners.base import REVOKE, Owner
from partners.errors import NotReady, TransientError
from partners.sandbox.chain.deploy import key_address, role_key
from partners.testing import ask
from partners.vana.abi import PUBLIC_KEY
from tests.partners.vana.world import World

STRANGER = key_address(role_key("stranger"))


def test_every_key_is_blanked_and_the_rest_is_told(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    owner = Owner(address=STRANGER, public_key=world.partner().client.read(world.addresses.dlp, PUBLIC_KEY))
    (done,) = world.run(partner, world.item(owner=owner), ledger=ledger)

    (gone,) = world.run(partner, replace(done, kind=REVOKE), ledger=ledger)

    file = partner.client.file(1, [world.addresses.dlp, STRANGER])
    assert set(file.keys.values()) == {""}
    assert "stay in the chain's history" in partner.receipt(gone)["remains"]
    assert partner.verify(gone).detail == "file 1 is registered with blank keys"


def test_pushing_again_brings_the_keys_back(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    (done,) = world.run(partner, world.item(), ledger=ledger)
    (gone,) = world.run(partner, replace(done, kind=REVOKE), ledger=ledger)

    (back,) = world.run(partner, replace(gone, kind="push"), ledger=ledger)

    assert partner.verify(back).detail == "file 1 is registered with 1 of our keys"
    assert "remains" not in partner.receipt(back)


def test_a_file_of_its_owner_cannot_be_blanked_by_us(world: World) -> None:
    partner = world.partner(file_owner="owner")
    ledger = world.ledger(partner)
    (done,) = world.run(partner, world.item(owner=Owner(address=STRANGER)), ledger=ledger)

    (gone,) = world.run(partner, replace(done, kind=REVOKE), ledger=ledger)

    assert "who alone can blank them" in partner.receipt(gone)["remains"]
    assert len(world.broadcasts()) == 1


def test_what_was_never_registered_is_gone_at_once(world: World) -> None:
    (gone,) = world.run(world.partner(), world.item(kind=REVOKE))

    assert "remains" not in gone.saved
    assert world.broadcasts() == []


def test_a_registration_on_its_way_is_waited_for(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    item = world.until(partner, world.item(), "send_register", ledger)
    revoked = replace(item, kind=REVOKE)

    [waits] = ask(partner, "prepare_withdraw", [revoked])
    (gone,) = world.run(partner, revoked, ledger=ledger)

    assert isinstance(waits, NotReady)
    assert partner.verify(gone).detail == "file 1 is registered with blank keys"


def test_a_paused_registry_is_tried_again(world: World) -> None:
    partner = world.partner()
    (done,) = world.run(partner, world.item())
    world.chain.admin.transact("registry", "pause")

    [refused] = ask(partner, "prepare_withdraw", [replace(done, kind=REVOKE)])

    assert isinstance(refused, TransientError)
