"""The alerts' page: what is open, what was, who is told, and a test message."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion import roster
from dataunion.models import Incident, Notice, User
from tests.dataunion.alerts.conftest import Hook
from tests.factories import ApiKeyFactory

pytestmark = pytest.mark.django_db
ALERTS = "/admin/dataunion/incident/"


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Return a webhook to which alerts go."""
    server = Hook()
    with override_settings(ALERT_URL=f"{server.url}/services/secret", ALERT_ALLOW_PRIVATE=True):
        yield server
    server.stop()


def make(**fields: Any) -> Incident:
    """Make an incident that is open, unless said."""
    given = {"rule": "stopped", "subject": "vana", "said": "vana has not answered for 6 minutes.", **fields}
    return Incident.objects.create(slot=f"{given['rule']} {given['subject']} {given.get('state', '')}", **given)


def let_look(browser: Client) -> None:
    """Give this person the right to look at alerts."""
    user = User.objects.get(pk=browser.session["_auth_user_id"])
    user.user_permissions.add(Permission.objects.get(codename="view_incident"))


def test_an_open_alert_says_what_to_do_and_leads_to_where_it_is_done(admin: Client) -> None:
    vana = roster.get_partner("vana")
    row = make(opened_at=timezone.now() - timedelta(minutes=8))
    Notice.objects.create(once="x", channel="email", incident=row.pk, title="t", body="b", state="sent")

    page = admin.get(ALERTS).content.decode()

    assert "vana is stopped" in page
    assert "vana has not answered for 6 minutes." in page
    assert "8 minutes ago</time>, told by e-mail" in page
    assert f'href="/admin/dataunion/partner/{vana.pk}/change/"' in page
    assert "Alerts that are over appear here. So far there was none." in page


@pytest.mark.parametrize(
    ("rule", "subject", "url"),
    [
        ("clock", "", "/admin/"),
        ("failing", "vana", "/admin/dataunion/syncjob/?partner=vana&amp;status=error"),
        ("key", "ab12cd34", "/admin/dataunion/apikey/"),
    ],
)
def test_each_alert_leads_to_the_page_that_mends_it(admin: Client, rule: str, subject: str, url: str) -> None:
    make(rule=rule, subject=subject)

    page = admin.get(ALERTS).content.decode()

    assert f'<a href="{url}" class="font-medium text-link' in page


def test_past_alerts_say_how_long_they_lasted_and_who_was_told(admin: Client) -> None:
    began = timezone.now() - timedelta(hours=3)
    row = make(
        rule="late", state="over", opened_at=began, seen_at=began + timedelta(minutes=40), said="late since then"
    )
    for channel in ("email", "webhook"):
        Notice.objects.create(once=channel, channel=channel, incident=row.pk, title="t", body="b", state="sent")

    page = admin.get(ALERTS).content.decode()

    for words in ("Nothing. No rule below finds anything wrong.", "vana: due work waits", "late since then"):
        assert words in page
    for words in ("3 hours ago", "40 minutes", "e-mail, webhook"):
        assert words in page


def test_where_nobody_is_told_the_page_says_what_to_set(admin: Client) -> None:
    page = admin.get(ALERTS).content.decode()

    assert "nobody: set EMAIL_URL and DATAUNION_ALERT_EMAILS" in page
    assert "none: set DATAUNION_ALERT_URL" in page
    assert "Send a test message" not in page
    assert "DATAUNION_<wbr>ALERT_<wbr>DUE_<wbr>MINUTES" in page


def test_receivers_are_shown_and_the_webhooks_secret_is_not(admin: Client) -> None:
    told = {"ALERT_EMAILS": ["ops@example.org"], "CAN_SEND_EMAIL": True, "ALERT_DIGEST_HOUR": 6}
    with override_settings(ALERT_URL="https://hooks.example/T0/B0/s3cret", **told):
        page = admin.get(ALERTS).content.decode()

    for words in ("ops@example.org", "hooks.example/••••••••", "from 06:00 UTC on", "Send a test message"):
        assert words in page
    assert "s3cret" not in page


def test_addresses_without_a_mail_server_are_said_to_get_nothing(admin: Client) -> None:
    with override_settings(ALERT_EMAILS=["ops@example.org"]):
        page = admin.get(ALERTS).content.decode()

    assert "ops@example.org: not sent, since EMAIL_URL is not set" in page


def test_the_rules_are_shown_with_their_thresholds(admin: Client) -> None:
    page = admin.get(ALERTS).content.decode()

    for words in (
        "for 5 minutes",
        "50% of 20 or more in this hour",
        "for 15 minutes",
        "for 2 minutes",
        "within 14 days",
    ):
        assert words in page


def test_messages_that_do_not_get_through_are_shown(admin: Client) -> None:
    due_at = timezone.now() + timedelta(minutes=4, seconds=30)
    given = {"channel": "webhook", "body": "b", "problem": "answered 404"}
    Notice.objects.create(once="a", title="vana is stopped", due_at=due_at, **given)
    Notice.objects.create(once="b", title="The clock stands", state="dropped", **given)

    page = admin.get(ALERTS).content.decode()

    assert "“vana is stopped” is not sent yet: answered 404. Next try" in page
    assert "in 4 minutes" in page
    assert "“The clock stands” was given up: answered 404." in page


def test_a_test_message_arrives_and_is_logged(operator: Client, hook: Hook) -> None:
    let_look(operator)

    page = operator.post(f"{ALERTS}test/", follow=True).content.decode()

    assert hook.texts[0].splitlines()[:2] == [
        "*Test*",
        "vera asked for this message to see whether it arrives. Nothing is wrong.",
    ]
    assert "The test by webhook was handed over. See whether it arrives." in page
    assert LogEntry.objects.get().change_message == "Sent a test alert: webhook handed over"


def test_a_test_message_that_fails_says_why(admin: Client, hook: Hook) -> None:
    hook.status = 410

    page = admin.post(f"{ALERTS}test/", follow=True).content.decode()

    assert "The test by webhook was not sent: answered 410: this address is gone for good" in page
    assert LogEntry.objects.get().change_message == "Sent a test alert: webhook failed"


def test_without_receivers_a_test_says_so(admin: Client) -> None:
    assert "Nobody is told yet" in admin.post(f"{ALERTS}test/", follow=True).content.decode()
    assert not LogEntry.objects.exists()


def test_who_may_only_look_sends_nothing(viewer: Client, hook: Hook) -> None:
    let_look(viewer)
    make(rule="key", subject=ApiKeyFactory().prefix)

    page = viewer.get(ALERTS).content.decode()

    assert "Send a test message" not in page
    assert "/admin/dataunion/apikey/" not in page
    assert viewer.post(f"{ALERTS}test/").status_code == 403
    assert viewer.get(f"{ALERTS}test/").status_code == 405
    assert hook.requests == []


def test_the_page_costs_few_questions_however_many_alerts_there_are(admin: Client) -> None:
    for number in range(30):
        make(subject=f"p{number}")
        make(subject=f"p{number}", state="over")

    with CaptureQueriesContext(connection) as asked:
        assert admin.get(ALERTS).status_code == 200

    assert len(asked) <= 12
