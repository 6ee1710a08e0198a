"""What is registered, for whom, and what the chain's answers to the one question lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partners.base import Owner, Required, Rewind
from partners.errors import BlockedError, MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.sandbox.chain.deploy import key_address, public_key, role_key
from partners.testing import ask
from partners.vana import abi
from partners.vana.chain import Action, Refused
from partners.vana.encoding import ecies_decrypt
from tests.partners.vana.world import KEY, World

STRANGER = key_address(role_key("stranger"))
OWNER = Owner(address=STRANGER, public_key=public_key(role_key("stranger")))


def opened(role: str, blob: str) -> str:
    return ecies_decrypt(bytes.fromhex(role_key(role)[2:]), blob).decode()


def test_a_file_is_registered_by_us_with_the_key_for_the_dlp(world: World) -> None:
    partner = world.partner()

    (done,) = world.run(partner, world.item())

    file = partner.client.file(1, [world.addresses.dlp])
    assert (file.owner, file.url) == (partner.signer, f"{world.files_url}/0")
    assert opened("dlp", file.keys[world.addresses.dlp]) == KEY
    [sent] = world.broadcasts()
    assert partner.receipt(done) == {"file_id": 1, "tx_hash": sent["tx_hash"], "block": file.block}
    assert partner.refs(done) == (("tx_hash", sent["tx_hash"]), ("file_id", "1"))


def test_the_secrets_of_the_encryption_are_destroyed_at_the_end(world: World) -> None:
    partner = world.partner()

    (done,) = world.run(partner, world.item())

    assert set(done.saved) == {"url", "owner", "permissions", "register_tx", "file_id", "tx_hash", "block"}
    assert done.saved["register_tx"] == {"generation": 1, "reverts": 0}


def test_the_owner_owns_the_file_and_can_read_it(world: World) -> None:
    partner = world.partner(file_owner="owner")

    world.run(partner, world.item(owner=OWNER))

    file = partner.client.file(1, [world.addresses.dlp, STRANGER])
    assert file.owner == STRANGER
    assert opened("stranger", file.keys[STRANGER]) == opened("dlp", file.keys[world.addresses.dlp]) == KEY


def test_every_key_has_an_iv_and_an_ephemeral_key_of_its_own(world: World) -> None:
    drawn = [world.partner().keys(world.item(number, owner=OWNER)) for number in range(3)]

    secrets = [one for each in drawn for one in each["ecies"]]
    assert len({one["iv"] for one in secrets}) == len({one["ephemeral_key"] for one in secrets}) == 6


def test_keys_are_drawn_once(world: World) -> None:
    partner, item = world.partner(), world.item()

    again = partner.keys(world.save(item, partner.keys(item)))

    assert again == {}


def test_a_schema_is_registered_with_the_file(world: World) -> None:
    partner = world.partner(schema_id="1")

    world.run(partner, world.item())

    assert partner.client.read(world.addresses.registry, abi.FILES, 1)[3] == 1


def test_an_unknown_schema_is_our_configuration(world: World) -> None:
    with pytest.raises(MisconfiguredError, match="schema_id is unknown to it; correct it or set 0"):
        world.run(world.partner(schema_id="7"), world.item())


def test_a_registration_of_ours_is_adopted_with_its_transaction(world: World) -> None:
    partner = world.partner()
    (done,) = world.run(partner, world.item())
    kept = {name: done.saved[name] for name in ("url", "owner", "permissions")}

    (again,) = world.run(partner, replace(done, saved=kept))

    assert partner.receipt(again) == partner.receipt(done)
    assert len(world.broadcasts()) == 1


def test_a_node_without_the_registrations_log_leaves_the_transaction_that_was_noted(world: World) -> None:
    partner = world.partner()
    (done,) = world.run(partner, world.item())
    unnoted = replace(done, saved={name: value for name, value in done.saved.items() if name != "tx_hash"})
    world.arm("rpc_behind", match="eth_getLogs", seconds=9, times=2, per_subject=2)

    found = [partner._registration.look(item) for item in (done, unnoted)]

    assert [one["tx_hash"] for one in found if not isinstance(one, Action)] == [done.saved["tx_hash"], ""]


def test_another_key_on_our_file_is_replaced_by_ours(world: World) -> None:
    partner, item = world.partner(), world.item(owner=OWNER)
    permissions = [(world.addresses.dlp, "old"), (STRANGER, "older")]
    world.register_as("signer", f"{world.files_url}/0", partner.signer, permissions)

    (done,) = world.run(partner, item)

    keys = partner.client.file(1, [world.addresses.dlp, STRANGER]).keys
    assert opened("dlp", keys[world.addresses.dlp]) == opened("stranger", keys[STRANGER]) == KEY
    assert (world.count("registry", "filesCount"), len(world.broadcasts())) == (1, 3)
    assert done.saved["tx_hash"] == world.broadcasts()[0]["tx_hash"]


def test_a_url_that_somebody_else_registered_is_a_conflict(world: World) -> None:
    partner = world.partner()
    world.register_as("stranger", f"{world.files_url}/0", STRANGER, [])

    with pytest.raises(PermanentError, match="belongs to somebody else; upload under a new name") as caught:
        world.run(partner, world.item())

    assert caught.value.error_class == "conflict"
    assert world.broadcasts() == []


def test_a_wrong_key_on_a_file_of_its_owner_is_a_conflict(world: World) -> None:
    world.register_as("signer", f"{world.files_url}/0", STRANGER, [(world.addresses.dlp, "old")])

    with pytest.raises(PermanentError, match="holds another key, which only its owner can change") as caught:
        world.run(world.partner(file_owner="owner"), world.item(owner=OWNER))

    assert caught.value.error_class == "conflict"


def test_who_was_overtaken_before_sending_gives_the_nonce_back(world: World) -> None:
    partner, item = world.partner(), world.item()
    ledger = world.ledger(partner)
    item = world.until(partner, item, "sign_register", ledger)
    world.register_as("stranger", item.saved["url"], STRANGER, [])

    back = world.answer(partner, "send_register", item, ledger)
    assert isinstance(back, Rewind)
    assert back.step == "sign_register"
    item = world.until(partner, world.save(item, back), "send_register", ledger, first="sign_register")
    again = world.answer(partner, "confirm_register", item)
    with pytest.raises(PermanentError, match="upload under a new name"):
        world.insist(partner, "prepare_register", world.save(item, again))

    assert partner.client.nonce(partner.signer, "latest") == 1
    assert again.changes["register_tx"] == {"generation": 1, "reverts": 0}
    assert len(ledger.find(item, next(iter(ledger._rows))[1])) == 2


def test_who_was_overtaken_in_the_same_block_finds_the_conflict(world: World) -> None:
    partner, item = world.partner(), world.item()
    ledger = world.ledger(partner)
    item = world.until(partner, item, "send_register", ledger)
    data = abi.ADD_FILE.encode(item.saved["url"], STRANGER, [])
    world.transact("stranger", Action(to=world.addresses.registry, data=data), gwei=50)

    back = world.answer(partner, "confirm_register", item)
    with pytest.raises(PermanentError, match="belongs to somebody else"):
        world.insist(partner, "prepare_register", world.save(item, back))

    assert back.changes["register_tx"] == {"generation": 1, "reverts": 1}
    assert back.after_s > 0


def test_a_new_url_makes_a_new_registration(world: World) -> None:
    partner = world.partner()
    ledger = world.ledger(partner)
    (done,) = world.run(partner, world.item(), ledger=ledger)
    moved = replace(done, required=world.item(7).required)

    (again,) = world.run(partner, moved, ledger=ledger)

    assert (again.saved["file_id"], again.saved["url"]) == (2, f"{world.files_url}/7")
    assert again.saved["permissions"] != done.saved["permissions"]


@pytest.mark.parametrize("step", ["prepare_register", "send_register", "confirm_register"])
def test_a_url_that_changes_on_the_way_starts_over(world: World, step: str) -> None:
    partner, item = world.partner(), world.item()
    item = world.save(item, partner.keys(item))

    [answer] = ask(partner, step, [replace(item, required=world.item(7).required)])

    assert answer == Rewind(step="keys")


def test_a_paused_registry_is_tried_again(world: World) -> None:
    partner, item = world.partner(), world.item()
    world.chain.admin.transact("registry", "pause")

    with pytest.raises(TransientError, match="paused by Vana") as caught:
        world.run(partner, item)
    world.chain.admin.transact("registry", "unpause")
    world.run(partner, item)

    assert (caught.value.code, caught.value.retry_after_s) == ("EnforcedPause", 0.1)
    assert world.count("registry", "filesCount") == 1


def test_a_record_whose_object_has_no_url_waits_for_it(world: World) -> None:
    item = world.item(required={"akave": Required(entry={}, retry_data={})})

    with pytest.raises(BlockedError, match="akave has given no url; retry akave first"):
        world.partner().keys(item)


def test_a_record_without_owner_is_blocked_where_owners_own(world: World) -> None:
    with pytest.raises(BlockedError, match="names no owner"):
        world.partner(file_owner="owner").keys(world.item())


def test_an_owner_with_a_broken_public_key_is_refused(world: World) -> None:
    item = world.item(owner=Owner(address=STRANGER, public_key="04abcd"))

    with pytest.raises(PermanentError, match="hand in 65 bytes as hex") as caught:
        world.partner().keys(item)

    assert caught.value.error_class == "validation"


def test_a_dlp_without_public_key_is_misconfigured(world: World) -> None:
    world.chain.admin.transact("dlp", "updatePublicKey", "")

    with pytest.raises(MisconfiguredError, match="no usable public key; its owner must set it"):
        world.partner().keys(world.item())


def test_verify_tells_what_is_wrong(world: World) -> None:
    partner = world.partner()
    (done,) = world.run(partner, world.item())
    other = {**done.saved, "permissions": [{"account": world.addresses.dlp, "key": "other"}]}

    told = [
        partner.verify(done),
        partner.verify(replace(done, saved={**done.saved, "url": "http://nowhere.invalid/"})),
        partner.verify(replace(done, saved={**done.saved, "owner": STRANGER})),
        partner.verify(replace(done, saved=other)),
    ]

    assert [(one.present, one.detail) for one in told] == [
        (True, "file 1 is registered with 1 of our keys"),
        (False, "the URL is not registered"),
        (False, f"file 1 belongs to {partner.signer}"),
        (False, f"file 1 holds another key for {world.addresses.dlp}"),
    ]


def test_verify_does_not_know_while_the_node_is_away(world: World) -> None:
    partner = world.partner()
    (done,) = world.run(partner, world.item())
    world.arm("rpc_500")

    told = partner.verify(done)

    assert (told.present, told.detail) == (None, "vana: eth_call: answered 500")


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("FileUrlAlreadyUsed", TransientError, "looking again"),
        ("InvalidSchemaId", MisconfiguredError, "schema_id is unknown to it; correct it or set 0"),
        ("NotFileOwner", PermanentError, "NotFileOwner; compare its address and version"),
        ("", PermanentError, "without a reason; compare its address and version"),
    ],
)
def test_other_refusals_of_the_registry_are_decisions(
    world: World, name: str, kind: type[PartnerError], remedy: str
) -> None:
    told = world.partner()._registration.refuse(Refused(name))

    assert (type(told), told.code) == (kind, name)
    assert told.message.startswith("vana: register: the registry refused")
    assert told.message.endswith(remedy)


def test_a_refusal_without_a_reason_is_put_down_to_the_schema_where_one_is_set(world: World) -> None:
    told = world.partner(schema_id="7")._registration.refuse(Refused(""))

    assert type(told) is MisconfiguredError
