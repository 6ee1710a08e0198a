"""How a delivery is signed and sent: Standard Webhooks 1.0 over partners.http; knows no records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from partners.errors import MisconfiguredError, TransientError
from partners.http import HttpClient


def utc_now() -> datetime:
    """Return the time that a delivery is stamped with."""
    return datetime.now(UTC)


class WebhookClient:
    """One endpoint. Source: standardwebhooks.com, specification 1.0."""

    def __init__(
        self,
        name: str,
        *,
        url: str,
        secrets: Sequence[str],
        timeout_s: float,
        max_answer_bytes: int,
        allow_private: bool,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._name, self._url, self._clock = name, url, clock
        try:
            self._signers = [Webhook(secret) for secret in secrets]
        except ValueError:  # its text would show the secret
            raise MisconfiguredError(f"{name}: secret is not base64 after whsec_") from None
        self._http = HttpClient(
            partner=name,
            connect_timeout_s=min(5.0, timeout_s),
            read_timeout_s=timeout_s,
            deadline_s=timeout_s,
            max_bytes=max_answer_bytes,
            allow_private=allow_private,
        )

    def deliver(self, message_id: str, body: bytes, *, step: str) -> int:
        """Send one message and return the 2xx status; sending it again is harmless, receivers go by `webhook-id`.

        Raises MisconfiguredError when the endpoint is gone (410) or refuses us, TransientError when a web page came
        in its place, else as HttpClient.request does.
        """
        now = self._clock()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(s.sign(message_id, now, body.decode()) for s in self._signers),
        }
        # The status is the answer; what else a receiver says is not read to its end.
        answer = self._http.request(
            "POST",
            self._url,
            data=body,
            headers=headers,
            step=step,
            unknown_on_lost=False,
            truncate=True,
        )
        if answer.is_web_page():
            message = f"{answer.source}: answered a web page; a proxy or login page stands before the receiver"
            raise TransientError(message, http_status=answer.status)
        return answer.status

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()
