"""Messages on their way: tried again until sent, by one worker at a time, and never forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from dataunion.alerts import notices
from dataunion.alerts.channels import Webhook
from dataunion.alerts.messages import Message
from dataunion.clock import db_now
from dataunion.models import Incident, Notice
from tests.dataunion.alerts.conftest import Hook
from tests.dataunion.alerts.mail import MailServer
from tests.dataunion.work import at_once
from tests.factories import IncidentFactory

pytestmark = pytest.mark.django_db(transaction=True)


def write(now: datetime, once: str = "one", channel: str = "webhook") -> None:
    notices.write(once, channel, Message(title="vana is stopped", body="It said no."), now)


def stored(once: str = "one") -> dict[str, Any]:
    return Notice.objects.filter(once=once).values("state", "tries", "due_at", "problem").get()


def test_a_message_that_is_sent_is_not_sent_again(hook: Hook) -> None:
    now = db_now()
    write(now)
    write(now)

    notices.deliver(now)
    notices.deliver(now + timedelta(hours=1))

    assert len(hook.texts) == 1
    assert stored() | {"due_at": None} == {"state": "sent", "tries": 1, "due_at": None, "problem": ""}


def test_a_message_that_was_refused_is_tried_again_later_each_time(hook: Hook) -> None:
    now, waits = db_now(), []
    write(now)
    hook.status = 503

    for _ in range(6):
        notices.deliver(now)
        waits.append((stored()["due_at"] - now).total_seconds())
        notices.deliver(now + timedelta(seconds=waits[-1] - 1))  # too early
        now = stored()["due_at"]
    hook.status = 200
    notices.deliver(now)

    assert waits == [120, 240, 480, 960, 1800, 1800]
    assert len(hook.texts) == 7
    assert stored()["state"] == "sent"


def test_a_message_shows_why_it_was_not_sent(hook: Hook) -> None:
    now = db_now()
    write(now)
    hook.status = 404

    notices.deliver(now)

    assert stored() == {
        "state": "waiting",
        "tries": 1,
        "due_at": now + timedelta(seconds=120),
        "problem": "answered 404; the same request will be refused again",
    }


def test_a_worker_that_dies_between_sent_and_noted_leaves_a_message_that_is_sent_twice(hook: Hook) -> None:
    now = db_now()
    write(now)
    row = Notice.objects.get()
    assert notices._take_turn(row, now)
    Webhook().send(Message(title=row.title, body=row.body))  # and here it dies

    notices.deliver(now + timedelta(seconds=119))
    notices.deliver(now + timedelta(seconds=120))

    assert hook.texts == ["*vana is stopped*\nIt said no."] * 2
    assert stored()["state"] == "sent"


def test_two_workers_send_it_once(hook: Hook) -> None:
    now = db_now()
    write(now)

    results = at_once(*[lambda: notices.deliver(now)] * 4)

    assert results == [None] * 4
    assert len(hook.texts) == 1
    assert stored()["tries"] == 1


def test_of_two_that_saw_a_message_one_gets_its_turn() -> None:
    now = db_now()
    write(now)
    first, second = Notice.objects.get(), Notice.objects.get()

    assert [notices._take_turn(first, now), notices._take_turn(second, now)] == [True, False]
    assert stored()["tries"] == 1


def test_one_channel_that_fails_holds_up_only_itself(mail: MailServer, hook: Hook) -> None:
    now = db_now()
    mail.refusal = "451 try later"
    for number in range(12):  # more than one look takes in hand
        write(now - timedelta(minutes=1), f"m{number}", "email")
    write(now, "h", "webhook")

    notices.deliver(now)

    assert stored("h")["state"] == "sent"
    assert sorted(stored(f"m{n}")["tries"] for n in range(12)) == [0] * 11 + [1]
    mail.refusal = ""
    for minutes in (5, 6):
        notices.deliver(now + timedelta(minutes=minutes))
    assert [stored(f"m{n}")["state"] for n in range(12)] == ["sent"] * 12


def test_a_message_is_given_up_after_a_day(hook: Hook) -> None:
    now = db_now()
    write(now)
    hook.status = 500
    notices.deliver(now)

    notices.deliver(now + timedelta(hours=24, seconds=1))

    assert (stored()["state"], stored()["problem"]) == (
        "dropped",
        "not sent within a day; answered 500",
    )
    assert len(hook.texts) == 1


def test_a_message_to_a_channel_that_is_gone_is_dropped() -> None:
    now = db_now()
    write(now)

    notices.deliver(now)

    assert (stored()["state"], stored()["problem"]) == ("dropped", "the channel is no longer set up")


def test_a_look_that_was_cut_short_is_finished_by_the_next(hook: Hook) -> None:
    now = db_now()
    row = Incident.objects.create(rule="late", subject="vana", slot=f"late vana {now}", said="late", state="ended")
    notices.write(f"opened {row.pk} webhook", "webhook", Message(title="x", body="y"), now, incident=row.pk)

    notices.announce(now)
    notices.announce(now)

    assert Incident.objects.get().state == "over"
    assert sorted(Notice.objects.values_list("once", flat=True)) == [
        f"ended {row.pk} webhook",
        f"opened {row.pk} webhook",
    ]


def test_who_was_never_told_of_it_is_not_told_that_it_is_over(hook: Hook) -> None:
    Incident.objects.create(rule="late", subject="vana", slot="late vana x", said="late", state="ended")

    with override_settings(ALERT_URL=""):
        notices.announce(db_now())

    assert Incident.objects.get().state == "over"
    assert not Notice.objects.exists()


# --- what is kept


def make_incident(state: str, ended_days_ago: float | None, now: datetime) -> Incident:
    """Make an incident that began long ago, with a message about its beginning."""
    ended_at = None if ended_days_ago is None else now - timedelta(days=ended_days_ago)
    row = IncidentFactory(slot=uuid4().hex, state=state, opened_at=now - timedelta(days=400), ended_at=ended_at)
    notices.write(f"opened {row.pk} webhook", "webhook", Message(title="t", body="b"), row.opened_at, incident=row.pk)
    return row


def test_what_was_over_long_ago_is_forgotten_with_its_messages() -> None:
    now = db_now()
    make_incident("over", 91, now)
    kept = [make_incident("over", 89, now), make_incident("open", None, now), make_incident("ended", 91, now)]
    write(now - timedelta(days=91), once="digest old")
    write(now - timedelta(days=89), once="digest new")

    notices.prune(now - timedelta(days=90))

    assert set(Incident.objects.values_list("pk", flat=True)) == {row.pk for row in kept}
    told = {f"opened {row.pk} webhook" for row in kept}
    assert set(Notice.objects.values_list("once", flat=True)) == told | {"digest new"}


def test_an_incident_that_goes_on_for_long_is_not_told_anew(hook: Hook) -> None:
    now = db_now()
    row = make_incident("open", None, now)

    notices.prune(now - timedelta(days=90))
    notices.announce(now)

    assert list(Notice.objects.values_list("once", flat=True)) == [f"opened {row.pk} webhook"]
