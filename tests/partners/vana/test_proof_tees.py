"""Which TEE is told the record's key, and how."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from partners.errors import NotReady
from partners.sandbox.chain.deploy import key_address, role_key
from partners.sandbox.control import Server
from partners.sandbox.tee import Tee
from partners.testing import ask
from tests.partners.vana.world import World


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize(
    ("scheme", "remedy"),
    [("https", "set allow_private if it should"), ("http", "has no https URL; set allow_private to yes if it may")],
)
def test_a_tee_at_a_private_address_or_without_tls_is_refused_unless_allowed(
    world: World, scheme: str, remedy: str, has_key: bool
) -> None:
    told = {"rpc_url": world.chain.rpc_url, "addresses": asdict(world.addresses)}
    app = Tee(**told, private_key=role_key("tee"))
    server = Server(app, 0)
    world._servers.append(server)
    url = server.url.replace("http", scheme, 1)
    key = app.chain.public_key if has_key else ""
    world.chain.admin.transact("tee_pool", "addTee", key_address(role_key("tee")), url, key)
    partner = world.partner(request_proof="yes", allow_private="no")
    item = world.until(partner, world.item(), "confirm_request_proof", world.ledger(partner))

    [waits] = ask(partner, "run_proof", [item])

    assert isinstance(waits, NotReady)
    assert remedy in waits.message
    assert server.view("log") == []


def test_a_tee_without_public_key_gets_the_key_in_clear(world: World) -> None:
    told = {"rpc_url": world.chain.rpc_url, "addresses": asdict(world.addresses)}
    server = Server(Tee(**told, private_key=role_key("tee")), 0)
    world._servers.append(server)
    world.chain.admin.transact("tee_pool", "addTee", key_address(role_key("tee")), server.url, "")
    partner = world.partner(request_proof="yes")

    (done,) = world.run(partner, world.item())

    assert done.saved["proof"]["index"] == 1
