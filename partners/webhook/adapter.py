"""Webhook: hand a record over as one signed message, take it back by another. One row in the admin per receiver."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from partners.base import Item, Partner, Saved
from partners.errors import MisconfiguredError, PermanentError
from partners.requirements import Option, Secret
from partners.webhook import encoding
from partners.webhook.client import WebhookClient

_SHARED = r"whsec_[A-Za-z0-9+/]{32,88}={0,2}"


class WebhookPartner(Partner):
    """Saved: {"webhook_id": "msg_…", "status": 200}. The id is the same at every attempt, so a repeat is harmless."""

    adapter: ClassVar[str] = "webhook"
    label: ClassVar[str] = "Webhook"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="url", holds="the receiver's URL, https://host/path", pattern=r"https?://[^\s/?#@]+(/[^\s#]*)?"),
        Secret(
            name="secret", holds="whsec_ and 24 to 64 random bytes in base64, shared with the receiver", pattern=_SHARED
        ),
        Secret(
            name="old_secret",
            holds="the secret before, as long as the receiver still goes by it",
            pattern=_SHARED,
            required=False,
        ),
        Option(name="timeout_s", holds="seconds, 1 to 25", default="15", pattern=r"([1-9]|1\d|2[0-4])(\.\d+)?|25"),
        Option(
            name="max_answer_bytes",
            label="Longest answer, bytes",
            holds="how much of an answer to read",
            default="65536",
            pattern=r"\d{1,8}",
        ),
        Option(
            name="allow_private",
            label="Own network allowed",
            holds="yes to allow plain http and addresses of our own network, else no",
            default="no",
            pattern="yes|no",
        ),
    )
    steps: ClassVar[tuple[str, ...]] = ("deliver",)
    revoke_steps: ClassVar[tuple[str, ...]] = ("deliver_revoke",)
    payload_steps: ClassVar[frozenset[str]] = frozenset({"deliver"})

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        super().__init__(name, config)
        allow_private = self.config["allow_private"] == "yes"
        if not allow_private and not self.config["url"].startswith("https://"):
            raise MisconfiguredError(f"{name}: url must begin with https:// unless allow_private is yes")
        self._client = WebhookClient(
            name,
            url=self.config["url"],
            secrets=[self.config[key] for key in ("secret", "old_secret") if self.config[key]],
            timeout_s=float(self.config["timeout_s"]),
            max_answer_bytes=int(self.config["max_answer_bytes"]),
            allow_private=allow_private,
        )

    def check(self) -> Sequence[str]:
        """Send a signed message of type "ping"."""
        try:
            status = self._client.deliver(f"msg_ping_{secrets.token_hex(8)}", encoding.encode_ping(), step="check")
        except PermanentError as error:
            raise MisconfiguredError(error.message, http_status=error.http_status) from error
        return (f"the receiver answered a signed ping with {status}",)

    def deliver(self, item: Item) -> Saved:
        """Hand the record over."""
        if item.payload is None:
            raise ValueError("deliver needs the payload")
        return self._send(item, encoding.encode_created(item, item.payload), "deliver")

    def deliver_revoke(self, item: Item) -> Saved:
        """Tell the receiver that the record was taken back."""
        return self._send(item, encoding.encode_revoked(item), "deliver_revoke")

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return {"webhook_id": "msg_…", "status": 200}."""
        return {"webhook_id": item.saved["webhook_id"], "status": item.saved["status"]}

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return the id by which the receiver knows the message."""
        return (("webhook_id", item.saved["webhook_id"]),)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _send(self, item: Item, body: bytes, step: str) -> Saved:
        message_id = f"msg_{item.once_id}"
        return {"webhook_id": message_id, "status": self._client.deliver(message_id, body, step=step)}
