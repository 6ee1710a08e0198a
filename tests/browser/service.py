"""What happens outside of the browser: records handed in by REST, and what the partners' local doubles received."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.flows.house import eventually
from tests.screens.showroom import Showroom


class Service:
    """Talks to the running DataUnion and to the doubles by HTTP."""

    def __init__(self, showroom: Showroom) -> None:
        self._showroom = showroom

    def hand_in(self, data_id: str, data_type: str = "health") -> str:
        """Hand a record in; return its id."""
        body = {"user_hash": "browser-tests", "data_type": data_type, "data_id": data_id, "payload": {"steps": 1}}
        told = self._ask(f"{self._showroom.url}/api/v1/records", body)
        return str(told["id"])

    def is_synced(self, record_id: str, partner: str) -> bool:
        """Say whether this partner has the record."""
        told = self._ask(f"{self._showroom.url}/api/v1/records/{record_id}")
        return bool(told["partners"][partner]["is_synced"])

    def wait_until_synced(self, record_id: str, partner: str) -> None:
        """Wait until this partner has the record."""
        eventually(lambda: self.is_synced(record_id, partner))

    def deliveries(self, path: str) -> list[tuple[str, Any]]:
        """Return (webhook-id, message) of every delivery that the receiver took in at this path, oldest first."""
        asked = self._ask(f"{self._showroom.hook_url}/_sandbox/log")
        received = self._ask(f"{self._showroom.hook_url}/_sandbox/received")
        ids = [entry["id"] for entry in asked if (entry["path"], entry["status"]) == (path, 204)]
        return [(webhook_id, json.loads(received[webhook_id][0])) for webhook_id in ids]

    def _ask(self, url: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._showroom.api_key}"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return json.loads(answer.read() or b"null")
