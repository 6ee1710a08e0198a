"""A node that answers each method with what it is told to: {"result": …}, {"error": …}, or raw bytes for all."""

from __future__ import annotations

import json
from typing import Any

from tests.partners.wire import Wire, answer


def start_node(told: dict[str, Any] | bytes) -> Wire:
    """Start it; a method that it was told nothing of answers null. Batches are answered in reverse."""

    def reply(connection: Any, request: bytes) -> None:
        if isinstance(told, bytes):
            connection.sendall(told)
            return
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        many = asked if isinstance(asked, list) else [asked]
        bodies = [{"jsonrpc": "2.0", "id": one["id"], **told.get(one["method"], {"result": None})} for one in many]
        body = bodies[::-1] if isinstance(asked, list) else bodies[0]
        connection.sendall(answer(200, json.dumps(body).encode(), Content_Type="application/json"))

    return Wire(reply)


def error(message: str, **fields: Any) -> dict[str, Any]:
    """Return an error as a method's answer."""
    return {"error": {"code": -32000, "message": message, **fields}}
