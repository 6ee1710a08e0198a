"""A new password by a link that is mailed; one's own, written into the log."""

from __future__ import annotations

import logging
import re
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.core.cache import cache
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from dataunion import signin
from dataunion.models import User
from tests.admin.conftest import make_viewer, sign_in
from tests.factories import PASSWORD, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
ASK = "/admin/password_reset/"
NEW = "four words nobody says"
PAST_EVERY_LIMIT = 41  # two hours may meet within them, each with its own count
NEW_FORM = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    """Let e-mail be sent, from an address that browsers do not choose."""
    settings.CAN_SEND_EMAIL = True
    settings.BASE_URL = "https://sync.example"


@pytest.fixture(autouse=True)
def _no_asks_before() -> Iterator[None]:
    """Count what each test asks for by itself."""
    cache.clear()
    yield
    cache.clear()


def post(email: str, **of_request: str) -> HttpResponse:
    """Ask for a link."""
    return Client().post(ASK, {"email": email}, **of_request)


def ask(email: str) -> list[str]:
    """Ask for a link; return the paths that were mailed."""
    answer = post(email)
    assert answer.headers["Location"] == f"{ASK}done/"
    return [re.findall(r"https://sync\.example(/\S+)", message.body)[0] for message in mail.outbox]


def test_a_forgotten_password_is_replaced_once() -> None:
    user = StaffFactory(username="eve", email="Eve@example.org")
    (path,) = ask("eve@EXAMPLE.org")
    browser = Client()

    shown = browser.get(path, follow=True)
    saved = browser.post(shown.request["PATH_INFO"], NEW_FORM)
    again = Client().get(path, follow=True).content.decode()

    assert "no-store" in shown.headers["Cache-Control"]
    assert saved.headers["Location"] == f"{ASK}complete/"
    assert "Your new password is saved" in browser.get(f"{ASK}complete/").content.decode()
    assert User.objects.get(pk=user.pk).check_password(NEW)
    assert "This link does not work" in again
    messages = list(LogEntry.objects.order_by("action_time").values_list("change_message", flat=True))
    assert messages == [signin.MAILED, "Changed: password, by a link sent by e-mail"]
    assert (mail.outbox[0].to, mail.outbox[0].subject) == (["Eve@example.org"], "A new password for DataUnion")


def test_whoever_signs_in_by_a_link_may_choose_a_password() -> None:
    user = StaffFactory(email="ada@example.org")
    user.set_unusable_password()
    user.save()

    assert len(ask("ada@example.org")) == 1


def test_one_person_is_mailed_so_many_links_an_hour_and_the_log_says_so() -> None:
    eve, ada = StaffFactory(email="eve@example.org"), StaffFactory(email="ada@example.org")
    for _ in range(signin.RESETS_AT_MOST + 2):
        ask("eve@example.org")  # which looks that the answer is the same
    mailed = len(mail.outbox)

    LogEntry.objects.filter(user_id=eve.pk).update(action_time=timezone.now() - signin.RESETS_WITHIN)
    ask("eve@example.org")
    ask("ada@example.org")

    assert mailed == signin.RESETS_AT_MOST
    assert [message.to for message in mail.outbox[mailed:]] == [["eve@example.org"], ["ada@example.org"]]
    assert LogEntry.objects.filter(user_id=eve.pk, change_message=signin.MAILED).count() == mailed + 1
    assert LogEntry.objects.filter(user_id=ada.pk, change_message=signin.MAILED).count() == 1


def test_one_client_may_ask_so_often_for_whomever(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = None
    StaffFactory(email="eve@example.org")
    for number in range(PAST_EVERY_LIMIT):
        post(f"nobody{number}@example.org", REMOTE_ADDR="192.0.2.1")

    throttled = post("eve@example.org", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="192.0.2.9")
    sent_to_it = len(mail.outbox)
    other = post("eve@example.org", REMOTE_ADDR="192.0.2.2")

    assert (sent_to_it, len(mail.outbox)) == (0, 1)
    assert (throttled.status_code, throttled.headers["Location"], throttled.content) == (
        other.status_code,
        other.headers["Location"],
        other.content,
    )


def test_behind_a_proxy_the_client_is_whom_the_proxy_names(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    StaffFactory(email="eve@example.org")
    for number in range(PAST_EVERY_LIMIT):
        post("nobody@example.org", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}, 192.0.2.1")

    post("eve@example.org", HTTP_X_FORWARDED_FOR="192.0.2.1")
    sent_to_it = len(mail.outbox)
    post("eve@example.org", HTTP_X_FORWARDED_FOR="192.0.2.1, 192.0.2.2")

    assert (sent_to_it, len(mail.outbox)) == (0, 1)


@pytest.mark.parametrize(
    "person",
    [{"email": "else@example.org"}, {"is_active": False}, {"is_staff": False}, {"email": ""}],
)
def test_nothing_is_mailed_to_others_and_nobody_learns_that(person: dict[str, Any]) -> None:
    UserFactory(**{"email": "eve@example.org", "is_staff": True, **person})

    assert ask("eve@example.org") == []


def test_a_weak_password_is_refused() -> None:
    StaffFactory(email="eve@example.org")
    (path,) = ask("eve@example.org")
    browser = Client()
    form = browser.get(path, follow=True)

    answer = browser.post(form.request["PATH_INFO"], {"new_password1": "short", "new_password2": "short"})

    assert "This password is too short" in answer.content.decode()


def test_a_link_for_a_password_signs_nobody_in_and_the_other_way_round() -> None:
    user = StaffFactory()

    assert not signin.tokens.check_token(user, signin.reset_tokens.make_token(user))
    assert not signin.reset_tokens.check_token(user, signin.tokens.make_token(user))


class BrokenBackend(BaseEmailBackend):
    """A mail server that refuses, and names the address."""

    def send_messages(self, messages: Any) -> int:
        raise smtplib.SMTPRecipientsRefused({messages[0].to[0]: (550, b"no such mailbox")})


def test_mail_that_is_lost_is_logged_without_the_address(settings: Any, caplog: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    user = StaffFactory(email="eve@example.org")

    with caplog.at_level(logging.WARNING):
        ask("eve@example.org")

    (line,) = [record for record in caplog.records if record.name == "dataunion.admin.passwords"]
    assert (line.message, line.user, line.type) == ("password.mail.lost", str(user.pk), "SMTPRecipientsRefused")
    assert "eve@example.org" not in caplog.text


def test_the_sign_in_page_offers_it_where_mail_can_be_sent(settings: Any) -> None:
    offered = Client().get("/admin/login/").content.decode()
    settings.CAN_SEND_EMAIL = False
    not_offered = Client().get("/admin/login/").content.decode()

    assert (f'href="{ASK}"' in offered, ASK in not_offered) == (True, False)


@pytest.mark.parametrize("page", ["", "done/", "complete/", "MQ/abc-def/"])
def test_without_a_mail_server_there_are_no_such_pages(settings: Any, page: str) -> None:
    settings.CAN_SEND_EMAIL = False

    assert Client().get(f"{ASK}{page}").status_code == 404


def test_ones_own_password_is_changed_and_that_is_logged() -> None:
    user = make_viewer()
    browser, page = sign_in(user), "/admin/password_change/"

    browser.post(page, {"old_password": "wrong", **NEW_FORM})
    refused = LogEntry.objects.count()
    browser.post(page, {"old_password": PASSWORD, **NEW_FORM})
    Client().post(page, {"old_password": NEW, **NEW_FORM})

    assert User.objects.get(pk=user.pk).check_password(NEW)
    assert refused == 0
    assert LogEntry.objects.get().change_message == "Changed: own password"
