"""The ways to people: e-mail, and a Slack-compatible webhook. Each is there once its receivers are set."""

from __future__ import annotations

from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Protocol

from django.conf import settings
from django.core.mail import EmailMessage

from dataunion.alerts.messages import Message
from dataunion.causes import name_cause
from partners.errors import PartnerError
from partners.http import HttpClient

_DEADLINE_S = 10.0
_WHO, _STEP = "alerts", "send"  # in the client's messages


class NotSentError(Exception):
    """A message did not go out, or nobody knows whether it did. The text names the cause, no address and no secret."""


class Channel(Protocol):
    """One way to people."""

    name: str
    label: str

    def send(self, message: Message) -> None:
        """Hand one message over. Raises NotSentError."""
        ...


class Email:
    """One e-mail to all receivers, through the server that EMAIL_URL names."""

    name, label = "email", "e-mail"

    def send(self, message: Message) -> None:
        """Hand one message to the mail server. Raises NotSentError."""
        title = " ".join(f"[DataUnion] {message.title}".split())
        body = f"{message.body}\n\n{message.link}".rstrip() + "\n"
        try:
            EmailMessage(title, body, to=settings.ALERT_EMAILS).send()
        except SMTPRecipientsRefused:
            raise NotSentError("the mail server refused every address; correct DATAUNION_ALERT_EMAILS") from None
        except SMTPResponseException as error:
            raise NotSentError(f"the mail server answered {error.smtp_code}; check EMAIL_URL") from None
        except (SMTPException, OSError) as error:
            cause = f"the mail server cannot be reached, or broke off ({type(error).__name__})"
            raise NotSentError(f"{cause}; check EMAIL_URL") from None


class Webhook:
    """One JSON message {"text": …} to the URL of an incoming webhook, as Slack defines it."""

    name, label = "webhook", "webhook"

    def send(self, message: Message) -> None:
        """Post one message. Raises NotSentError."""
        url, may_be_private = settings.ALERT_URL, settings.ALERT_ALLOW_PRIVATE
        if not may_be_private and not url.startswith("https://"):
            raise NotSentError("DATAUNION_ALERT_URL should begin with https://, or set DATAUNION_ALERT_ALLOW_PRIVATE")
        client = HttpClient(partner=_WHO, deadline_s=_DEADLINE_S, allow_private=may_be_private)
        try:
            client.request("POST", url, json={"text": _as_slack_text(message)}, step=_STEP, unknown_on_lost=False)
        except PartnerError as error:
            raise NotSentError(name_cause(error.message.removeprefix(f"{_WHO}: {_STEP}: "))) from None
        finally:
            client.close()


def find_channels() -> list[Channel]:
    """Return the ways that are set up; none by default."""
    found: list[Channel] = []
    if settings.CAN_SEND_EMAIL and settings.ALERT_EMAILS:
        found.append(Email())
    if settings.ALERT_URL:
        found.append(Webhook())
    return found


def try_out(message: Message) -> dict[str, str]:
    """Send a message by every channel now; return what went wrong by the channel's label, "" for nothing."""
    found = {}
    for channel in find_channels():
        try:
            channel.send(message)
            found[channel.label] = ""
        except NotSentError as error:
            found[channel.label] = str(error)
    return found


def _as_slack_text(message: Message) -> str:
    lines = [f"*{_escape(message.title)}*", _escape(message.body), f"<{message.link}>" if message.link else ""]
    return "\n".join(line for line in lines if line)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
