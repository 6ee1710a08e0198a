"""One look after the other: one message when something begins, one when it is over, by every channel."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from dataunion.alerts.look import look
from dataunion.clock import db_now
from dataunion.models import ApiKey, Incident, Notice, TaskLease
from partners.base import SignerReading
from partners.testing import FakePartner
from tests.dataunion.alerts.conftest import Hook
from tests.dataunion.alerts.mail import MailServer
from tests.dataunion.work import ago, make_job, set_partner
from tests.factories import ApiKeyFactory, HourStatFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def now() -> datetime:
    """Let the clock have ticked now."""
    now = db_now()
    TaskLease.objects.create(name="tick", ran_at=now)
    return now


def tick(at: datetime) -> None:
    TaskLease.objects.filter(name="tick").update(ran_at=at)


def stop(name: str = "vana") -> None:
    set_partner(name, state="paused", state_by="system", state_reason=f"{name}: check: answered 401", state_at=ago(60))


def open_rules() -> list[str]:
    return sorted(f"{row.rule} {row.subject}" for row in Incident.objects.filter(state="open"))


def test_without_receivers_an_incident_is_noted_and_nothing_is_written(now: datetime) -> None:
    stop()

    look(now)

    assert open_rules() == ["stopped vana"]
    assert not Notice.objects.exists()


def test_one_message_when_it_begins_and_one_when_it_is_over(now: datetime, mail: MailServer, hook: Hook) -> None:
    stop()
    look(now)
    look(now + timedelta(minutes=1))
    tick(now + timedelta(hours=1))
    set_partner("vana", state="on", state_by="ada", state_reason="")

    look(now + timedelta(minutes=3))  # not long enough to be over
    look(now + timedelta(minutes=6))
    look(now + timedelta(minutes=7))

    titles = ["[DataUnion] vana is stopped", "[DataUnion] Over: vana is stopped"]
    assert [message["Subject"] for message in mail.messages] == titles
    assert [text.splitlines()[0] for text in hook.texts] == ["*vana is stopped*", "*Over: vana is stopped*"]
    assert mail.receivers == [["ops@example.org", "night@example.org"]] * 2
    row = Incident.objects.get()
    assert (row.state, row.seen_at, row.ended_at) == ("over", now + timedelta(minutes=1), now + timedelta(minutes=6))


def test_a_message_says_what_is_wrong_since_when_what_to_do_and_where(
    now: datetime, mail: MailServer, hook: Hook
) -> None:
    stop()

    look(now)

    body = mail.messages[0].get_content()
    assert body.splitlines()[0] == "vana was stopped by the system 1 minute ago: vana: check: answered 401"
    assert body.splitlines()[1].startswith(f"Noticed {now:%Y-%m-%d %H:%M} UTC. Mend what the reason names")
    assert "http://127.0.0.1:8000/admin/dataunion/partner/" in body
    assert hook.texts[0].splitlines()[-1] == f"<{body.splitlines()[-1]}>"


def test_it_may_begin_again_after_it_was_over(now: datetime) -> None:
    stop()
    look(now)
    set_partner("vana", state="on")
    tick(now + timedelta(hours=1))
    look(now + timedelta(minutes=6))
    stop()

    look(now + timedelta(minutes=7))

    assert sorted(Incident.objects.values_list("state", flat=True)) == ["open", "over"]


def test_an_incident_that_a_clock_ahead_noted_ends_all_the_same(now: datetime) -> None:
    stop()
    look(now)
    set_partner("vana", state="on", state_by="ada")

    look(now - timedelta(hours=1))

    assert Incident.objects.get().state == "over"


def test_who_is_set_up_later_is_told_of_what_is_open_and_not_of_what_was(
    now: datetime, request: pytest.FixtureRequest
) -> None:
    stop("akave")
    look(now)
    set_partner("akave", state="on", state_by="ada")
    tick(now + timedelta(hours=1))
    look(now + timedelta(minutes=6))
    stop("vana")
    look(now + timedelta(minutes=7))

    hook: Hook = request.getfixturevalue("hook")
    look(now + timedelta(minutes=8))

    assert [text.splitlines()[0] for text in hook.texts] == ["*vana is stopped*"]


# --- what is read


def test_a_breaker_that_is_open_for_long_is_noticed(now: datetime) -> None:
    opened = {"window": [], "open_until": now.timestamp() + 1, "probe_until": None, "probe_by": "", "pace": None}
    set_partner("akave", breaker={**opened, "trips": 4})  # 30 + 60 + 120 + 240 s, less the one that is left
    set_partner("vana", breaker={**opened, "trips": 3})

    look(now)

    assert open_rules() == ["stopped akave"]
    assert Incident.objects.get().said == "akave has not answered for 7 minutes."


def test_failed_attempts_of_this_hour_are_counted_by_outcome(now: datetime) -> None:
    hour = now.replace(minute=0, second=0, microsecond=0)
    for outcome, count in (("transient", 30), ("crashed", 10), ("synced", 40), ("unknown", 900), ("limited", 900)):
        HourStatFactory(hour=hour, partner="vana", outcome=outcome, count=count)
        HourStatFactory(hour=hour, partner="akave", outcome=outcome, count=count * (outcome == "synced"))

    look(now)

    assert open_rules() == ["failing vana"]
    assert Incident.objects.get().said == f"40 of 80 attempts at vana failed since {hour:%H:%M} UTC."


def test_the_oldest_due_work_is_judged(now: datetime) -> None:
    make_job(partner="akave", due_at=now - timedelta(minutes=20))
    make_job(partner="vana", due_at=now - timedelta(minutes=10))

    look(now)

    assert open_rules() == ["late akave"]


def test_a_clock_that_stands_is_noticed(now: datetime) -> None:
    tick(now - timedelta(minutes=3))

    look(now)

    assert open_rules() == ["clock "]


def test_a_signer_that_runs_out_is_noticed_and_an_unknown_one_stays_as_it_is(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poor(FakePartner):
        def read_signer(self) -> SignerReading:
            if self.name == "akave":
                raise ValueError("a bug of the adapter's")
            return SignerReading(address="0xabc", balance=1e-18, price_gwei=1e-9)

    monkeypatch.setattr("partners.testing.Poor", Poor, raising=False)
    set_partner("vana", adapter="partners.testing.Poor")
    set_partner("akave", adapter="partners.testing.Poor")

    look(now)
    set_partner("vana", state="paused", state_by="system", state_reason="vana: funds")
    look(now + timedelta(minutes=1))

    assert open_rules() == ["funds vana", "stopped vana"]


def test_keys_that_end_soon_are_noticed_and_those_that_open_nothing_are_not(now: datetime) -> None:
    soon = ApiKeyFactory(expires_at=now + timedelta(days=3))
    ApiKeyFactory(expires_at=now + timedelta(days=300))
    ApiKeyFactory(expires_at=None)
    ApiKeyFactory(expires_at=now - timedelta(days=1))
    ApiKeyFactory(expires_at=now + timedelta(days=3), revoked_at=now)

    look(now)
    tick(now + timedelta(hours=1))
    ApiKey.objects.filter(pk=soon.pk).update(revoked_at=now)
    first = open_rules()
    look(now + timedelta(minutes=6))

    assert first == [f"key {soon.prefix}"]
    assert open_rules() == []
