"""Receivers on loopback: a mail server, and a webhook as Slack has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.dataunion.alerts.mail import MailServer
from tests.partners.wire import Wire, answer


class Hook(Wire):
    """Takes every message, unless `status` says otherwise."""

    def __init__(self) -> None:
        self.status = 200
        super().__init__(lambda connection, _: connection.sendall(answer(self.status, b"ok")))

    @property
    def texts(self) -> list[str]:
        """Return the texts that came."""
        return [json.loads(request.partition(b"\r\n\r\n")[2])["text"] for request in self.requests]


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """Return a mail server to which alerts go."""
    server = MailServer()
    where: dict[str, Any] = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": server.port, "CAN_SEND_EMAIL": True}
    backend = "django.core.mail.backends.smtp.EmailBackend"
    receivers = ["ops@example.org", "night@example.org"]
    with override_settings(EMAIL_BACKEND=backend, ALERT_EMAILS=receivers, ALERT_DIGEST_HOUR=None, **where):
        yield server
    server.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Return a webhook to which alerts go."""
    server = Hook()
    url = f"{server.url}/services/T0/B0/secret"
    with override_settings(ALERT_URL=url, ALERT_ALLOW_PRIVATE=True, ALERT_DIGEST_HOUR=None):
        yield server
    server.stop()
