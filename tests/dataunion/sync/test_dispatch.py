"""Nudges: sent by name in the background, made one while they wait, and lost without harm."""

from __future__ import annotations

import threading

import pytest
from celery import current_app
from django.db import connection, transaction

from dataunion.sync import dispatch
from tests.dataunion.sync.nudges import Nudges
from tests.flows.house import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_nudge_names_the_partner_and_goes_to_its_queue(nudges: Nudges) -> None:
    dispatch.nudge([("akave", "sync.fake"), ("vana", "dataunion")])

    assert nudges.sent() == [("akave", "sync.fake"), ("vana", "dataunion")]


def test_nudges_that_wait_to_be_sent_become_one(nudges: Nudges) -> None:
    gate = threading.Event()
    dispatch._sender.submit(gate.wait, 30)
    for _ in range(5):
        dispatch.nudge([("akave", "sync.fake")])
    gate.set()

    assert nudges.sent() == [("akave", "sync.fake")]


def test_a_nudge_is_sent_once_what_it_tells_of_is_committed(nudges: Nudges) -> None:
    sent = [("akave", "sync.fake")]
    with transaction.atomic():
        dispatch.nudge(sent)
        within = nudges.sent()

    # On MongoDB there is no transaction, and what was written is there at once.
    assert (within, nudges.sent()) == ((sent, []) if connection.vendor == "mongodb" else ([], sent))


def test_a_nudge_that_no_broker_takes_is_lost_and_told(caplog: pytest.LogCaptureFixture) -> None:
    assert dispatch.send_now("akave", "sync.fake") is False

    [told] = [r for r in caplog.records if r.message == "nudge.lost"]
    assert (told.partner, told.cause) == ("akave", "OperationalError")


def test_a_nudge_for_later_is_sent_then(nudges: Nudges) -> None:
    dispatch.nudge_later("akave", "sync.fake", 0.01)

    assert eventually(nudges.sent) == [("akave", "sync.fake")]


def test_of_nudges_for_later_the_earliest_is_sent_alone(nudges: Nudges) -> None:
    for after_s in (60.0, 0.05, 70.0):
        dispatch.nudge_later("akave", "sync.fake", after_s)
    dispatch.nudge_later("vana", "dataunion", 60.0)

    assert eventually(nudges.sent) == [("akave", "sync.fake")]
    assert list(dispatch._later) == [("vana", "dataunion")]


def test_every_thread_sends_to_the_deployments_broker() -> None:
    found: list[tuple[str, str]] = []
    thread = threading.Thread(target=lambda: found.append((current_app.main, current_app.conf.broker_url)))

    thread.start()
    thread.join()

    assert found == [("dataunion", "redis://127.0.0.1:9/0")]
