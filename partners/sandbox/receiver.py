"""The sandbox's webhook receiver: checks Standard Webhooks signatures, keeps what came under each webhook-id.

`GET /_sandbox/received` shows, by webhook-id, the bodies taken in, so that a delivery made twice is seen.
Beside its own kinds of faults it knows those of `wire`. Its secret can be changed while it runs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.wrappers import Request, Response

from partners.sandbox import wire
from partners.sandbox.control import Entry, Hangup, Sandbox, Server, html_response, json_response, retry_after
from partners.sandbox.faults import Fault

TAKEN_IN = frozenset({"hook_lost_response", "hook_hold"}) | wire.KINDS - {"redirect"}  # only the answer is spoilt


class Receiver(Sandbox):
    """Takes in every signed POST, at any path. A fault's subject is the webhook-id."""

    kinds = frozenset(
        {"hook_429", "hook_500", "hook_timeout", "hook_lost_response", "hook_redirect", "hook_html_200", "hook_410"}
        | {"hook_hold", "hook_503", "hook_401", "hook_drip"}
        | wire.KINDS
    )

    def __init__(self, *, secret: str) -> None:
        super().__init__()
        self._webhook = Webhook(secret)
        self._lock = threading.Lock()
        self._received: dict[str, list[str]] = {}

    def set_secret(self, secret: str) -> None:
        """Go by this secret from now on, and by no other."""
        self._webhook = Webhook(secret)

    def views(self) -> dict[str, Callable[[], Any]]:
        """Add what was received."""
        return {**super().views(), "received": self._received_so_far}

    def answer(self, request: Request) -> Response:
        """Take in a delivery, or commit the fault that is due for it."""
        body, webhook_id = request.get_data(), request.headers.get("webhook-id", "")
        entry = self.log.add(
            method=request.method,
            path=request.path,
            id=webhook_id,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            fault="",
            status=None,
            held=False,
        )
        response = self._decide(request, webhook_id, body, entry)
        self.log.complete(entry, status=response.status_code)
        return response

    def _decide(self, request: Request, webhook_id: str, body: bytes, entry: Entry) -> Response:
        if request.method != "POST":
            return json_response({"error": "deliveries come by POST"}, 405)
        fault = self.faults.take(self.kinds, webhook_id)
        if fault is not None:
            self.log.complete(entry, fault=fault.kind)
            if fault.kind not in TAKEN_IN:
                return self._misbehave(request, fault, entry)
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            return json_response({"error": "the signature is missing, too old or wrong"}, 401)
        with self._lock:
            self._received.setdefault(webhook_id, []).append(body.decode())
        return Response(status=204) if fault is None else self._spoil_answer(request, fault, entry)

    def _spoil_answer(self, request: Request, fault: Fault, entry: Entry) -> Response:
        """Lose the answer to a delivery that was taken in, let it wait, or make it a strange one."""
        if fault.kind in wire.KINDS:
            return wire.answer(self, request, fault, entry)
        if fault.kind == "hook_lost_response":
            raise Hangup
        self.log.complete(entry, held=True)
        self.hold(fault.seconds)
        self.log.complete(entry, held=False)
        return Response(status=204)

    def _misbehave(self, request: Request, fault: Fault, entry: Entry) -> Response:
        """Commit a fault that keeps the delivery from being taken in."""
        if fault.kind == "redirect":
            return wire.answer(self, request, fault, entry)
        if fault.kind == "hook_drip":
            return self.drip(request, Response(status=204), fault.seconds or 1.0)
        if fault.kind == "hook_timeout":
            self.log.complete(entry, held=True)
            self.hold(fault.seconds)
            self.log.complete(entry, held=False)
            raise Hangup
        if fault.kind == "hook_html_200":
            return html_response()
        return {
            "hook_401": Response(status=401),
            "hook_429": Response(status=429, headers=retry_after(fault)),
            "hook_500": Response(status=500),
            "hook_503": Response(status=503, headers=retry_after(fault)),
            "hook_410": Response(status=410),
            "hook_redirect": Response(status=307, headers={"Location": wire.METADATA_SERVICE}),
        }[fault.kind]

    def _received_so_far(self) -> dict[str, list[str]]:
        with self._lock:
            return {webhook_id: list(bodies) for webhook_id, bodies in self._received.items()}


class ReceiverServer(Server):
    """A running receiver."""

    def __init__(self, receiver: Receiver, port: int) -> None:
        super().__init__(receiver, port)
        self.set_secret = receiver.set_secret


def start_receiver(*, secret: str, port: int = 0) -> ReceiverServer:
    """Start a webhook receiver on 127.0.0.1; `secret` is whsec_ and base64. Port 0 takes a free one."""
    return ReceiverServer(Receiver(secret=secret), port)
