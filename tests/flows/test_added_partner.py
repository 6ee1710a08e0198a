"""A partner that staff add in the admin gets records from workers that were running before."""

from __future__ import annotations

import json

from dataunion import roster
from dataunion.models import Partner
from tests.flows.house import House, eventually
from tests.flows.sandboxes import HOOK_SECRET, Sandboxes


def test_a_webhook_partner_made_in_the_database_delivers_once_without_a_restart(
    house: House, sandboxes: Sandboxes
) -> None:
    house.start("akave", "clock", "beat")
    earlier = house.hand_in("earlier", {"steps": 1})
    eventually(lambda: house.is_synced(earlier, "akave"))

    row = Partner.objects.create(name="clinic", adapter="webhook")
    roster.configure(row, config=sandboxes.hook_options(), secrets={"secret": HOOK_SECRET})
    record_id = house.hand_in("later", {"steps": 2})
    eventually(lambda: house.is_synced(record_id, "clinic"))

    told = house.record(record_id)["partners"]["clinic"]
    messages = sandboxes.receiver.view("received")
    delivered = {name: bodies for name, bodies in messages.items() if not name.startswith("msg_ping_")}
    assert list(delivered) == [told["webhook_id"]]
    [body] = delivered[told["webhook_id"]]
    assert json.loads(body)["data"]["payload"] == {"steps": 2}
    assert house.outcomes(record_id, "clinic") == ["synced"]
    assert "clinic" not in house.record(earlier)["partners"]
