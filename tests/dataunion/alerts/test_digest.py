"""The daily digest: once a day for each channel, from its hour on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from dataunion.alerts import digest
from dataunion.models import Incident, Notice
from tests.dataunion.alerts.conftest import Hook
from tests.dataunion.alerts.mail import MailServer
from tests.dataunion.work import make_job
from tests.factories import HourStatFactory

pytestmark = pytest.mark.django_db(transaction=True)
MORNING = datetime(2026, 11, 28, 7, 0, tzinfo=UTC)


def written() -> list[str]:
    return sorted(Notice.objects.values_list("once", flat=True))


def test_it_is_written_once_a_day_for_each_channel(mail: MailServer, hook: Hook) -> None:
    with override_settings(ALERT_DIGEST_HOUR=7):
        for minutes in (-1, 0, 1, 600, 24 * 60 - 1):
            digest.write_if_time(MORNING + timedelta(minutes=minutes))
        first = written()
        digest.write_if_time(MORNING + timedelta(days=1))

    assert first == ["digest 2026-11-28 email", "digest 2026-11-28 webhook"]
    assert written() == [*first, "digest 2026-11-29 email", "digest 2026-11-29 webhook"]


def test_it_is_off_when_it_is_off(hook: Hook) -> None:
    digest.write_if_time(MORNING)

    assert written() == []


def test_nobody_gets_it_where_nobody_is_told() -> None:
    digest.write_if_time(MORNING)

    assert written() == []


def test_it_tells_each_partners_day_and_what_is_open() -> None:
    HourStatFactory(hour=MORNING - timedelta(hours=3), partner="vana", outcome="synced", count=1200)
    HourStatFactory(hour=MORNING - timedelta(hours=2), partner="vana", outcome="transient", count=7)
    HourStatFactory(hour=MORNING - timedelta(hours=26), partner="vana", outcome="synced", count=99)
    make_job(partner="akave")
    make_job(partner="vana", status="failed")
    opened = MORNING - timedelta(hours=5)
    Incident.objects.create(rule="late", subject="vana", slot="late vana", said="late", opened_at=opened)
    Incident.objects.create(rule="late", subject="akave", slot="late akave x", said="late", state="over")

    message = digest.compose(MORNING)

    assert message.title == "Digest of 2026-11-28"
    assert message.body.splitlines() == [
        "akave (on): in 24 hours 0 synced and 0 attempts failed; now 1 on the way and 0 failed.",
        "vana (on): in 24 hours 1,200 synced and 7 attempts failed; now 0 on the way and 1 failed.",
        "",
        "Open since 2026-11-28 02:00 UTC: vana: due work waits",
    ]


def test_it_says_when_nothing_is_open() -> None:
    assert digest.compose(MORNING).body.splitlines()[-1] == "No alert is open."
