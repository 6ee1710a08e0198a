"""The channels at the wire: what arrives, and what is said of one that does not take it."""

from __future__ import annotations

import socket

import pytest
from django.test import override_settings

from dataunion.alerts.channels import Email, NotSentError, Webhook, find_channels, try_out
from dataunion.alerts.messages import Message
from tests.dataunion.alerts.conftest import Hook
from tests.dataunion.alerts.mail import MailServer

MESSAGE = Message(title="vana is\nstopped", body="a < b & c > d", link="http://127.0.0.1:8000/admin/")


def problem_of(channel: Email | Webhook) -> str:
    with pytest.raises(NotSentError) as caught:
        channel.send(MESSAGE)
    return str(caught.value)


def test_nobody_is_told_by_default() -> None:
    assert find_channels() == []
    assert try_out(MESSAGE) == {}


def test_an_email_without_a_mail_server_is_no_channel() -> None:
    with override_settings(ALERT_EMAILS=["ops@example.org"]):
        assert find_channels() == []


def test_an_email_arrives_as_it_was_written(mail: MailServer) -> None:
    Email().send(MESSAGE)

    assert mail.receivers == [["ops@example.org", "night@example.org"]]
    assert mail.messages[0]["Subject"] == "[DataUnion] vana is stopped"
    assert mail.messages[0]["From"] == "dataunion@127.0.0.1"
    assert mail.messages[0].get_content() == "a < b & c > d\n\nhttp://127.0.0.1:8000/admin/\n"


def test_a_mail_server_that_refuses_is_named_by_its_code_only(mail: MailServer) -> None:
    mail.refusal = "554 ops@example.org is unknown here"

    assert problem_of(Email()) == "the mail server answered 554; check EMAIL_URL"


def test_a_mail_server_that_is_away_is_said(mail: MailServer) -> None:
    mail.stop()

    assert problem_of(Email()) == (
        "the mail server cannot be reached, or broke off (ConnectionRefusedError); check EMAIL_URL"
    )


def test_a_webhook_gets_one_json_text_with_its_special_characters_escaped(hook: Hook) -> None:
    Webhook().send(MESSAGE)

    head = hook.requests[0].partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("POST /services/T0/B0/secret HTTP/1.1")
    assert "Content-Type: application/json" in head
    assert hook.texts == ["*vana is\nstopped*\na &lt; b &amp; c &gt; d\n<http://127.0.0.1:8000/admin/>"]


@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_a_webhook_that_refuses_is_said_without_its_secret(hook: Hook, status: int) -> None:
    hook.status = status

    said = problem_of(Webhook())

    assert f"answered {status}" in said
    assert "secret" not in said


def test_a_webhook_that_is_away_is_said_without_its_secret(hook: Hook) -> None:
    with override_settings(ALERT_URL="http://127.0.0.1:9/secret"):
        said = problem_of(Webhook())

    assert said == "127.0.0.1 cannot be connected to; nothing was sent"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example/secret", "DATAUNION_ALERT_URL should begin with https://"),
        ("https://127.0.0.1/secret", "127.0.0.1 leads into a private network, which is refused"),
    ],
)
def test_our_own_network_is_not_asked_unless_it_is_allowed(url: str, said: str) -> None:
    with override_settings(ALERT_URL=url):
        assert problem_of(Webhook()).startswith(said)


def test_a_trial_asks_every_channel_and_says_how_each_went(mail: MailServer, hook: Hook) -> None:
    hook.status = 500

    assert try_out(MESSAGE) == {"e-mail": "", "webhook": "answered 500"}
    assert len(mail.messages) == 1


def test_a_mail_server_that_says_nothing_is_given_up(mail: MailServer) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, override_settings(EMAIL_PORT=silent.getsockname()[1], EMAIL_TIMEOUT=0.2):
        assert "broke off (SMTPServerDisconnected)" in problem_of(Email())
