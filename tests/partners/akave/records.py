"""What the tests of the Akave adapter hand to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from partners.akave.adapter import AkavePartner
from partners.base import Item

Make = Callable[..., AkavePartner]
Stored = Callable[[], dict[str, bytes]]


def make_item(number: int = 0, **fields: Any) -> Item:
    payload = json.dumps({"heart_rate": 61 + number}).encode()
    given = {"record_id": f"record-{number}", "data_type": "health", "payload": payload, **fields}
    return Item(partner="akave", user_hash="user", data_id=f"data-{number}", **given)
