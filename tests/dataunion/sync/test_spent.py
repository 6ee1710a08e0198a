"""What an attempt says of the time its steps took."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from dataunion.models import SyncAttempt
from dataunion.sync import engine
from partners.errors import NotReady, TransientError
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import hand_in, job_of, make_due, service

pytestmark = pytest.mark.django_db(transaction=True)


def spent_on(spent: Any) -> list[tuple[str, int]]:
    return [(line["step"], line["runs"]) for line in spent]


def test_an_attempt_says_what_each_of_its_steps_took() -> None:
    hand_in()
    service().plan("store", lambda item: time.sleep(0.05))

    engine.push("akave")

    attempt = SyncAttempt.objects.get()
    assert spent_on(attempt.spent) == [("keys", 1), ("store", 1), ("confirm", 1)]
    assert 50 <= attempt.spent[1]["ms"] <= attempt.duration_ms


def test_a_step_that_failed_is_counted_and_the_next_attempt_begins_anew() -> None:
    record = hand_in()
    service().plan("store", TransientError("akave: store: HTTP 503"))
    engine.push("akave")
    make_due(record)

    engine.push("akave")

    first, second = SyncAttempt.objects.order_by("number")
    assert spent_on(first.spent) == [("keys", 1), ("store", 1)]
    assert spent_on(second.spent) == [("store", 1), ("confirm", 1)]


def test_an_attempt_that_waited_says_what_it_spent_before_too() -> None:
    record = hand_in()
    service().plan("confirm", *[NotReady("akave: confirm: not yet", after_s=15)] * 2)
    for _ in range(2):
        engine.push("akave")
        make_due(record)
    waiting = job_of(record)
    assert spent_on(waiting.spent) == [("keys", 1), ("store", 1), ("confirm", 2)]

    engine.push("akave")

    attempt = SyncAttempt.objects.get()
    assert spent_on(attempt.spent) == [("keys", 1), ("store", 1), ("confirm", 3)]
    assert [line["since"] for line in attempt.spent] == [waiting.spent[0]["since"]] * 3
    assert datetime.fromisoformat(attempt.spent[0]["since"]) < attempt.started_at


def test_one_call_for_the_whole_chunk_is_spent_by_each(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Many")
    hand_in("a")
    hand_in("b")

    engine.push("x")

    assert [spent_on(row.spent) for row in SyncAttempt.objects.filter(partner="x")] == [[("keys", 1), ("count", 1)]] * 2


def test_a_rewind_keeps_what_the_steps_took(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Rewinds")
    record = hand_in()
    engine.push("x")
    make_due(record, "x")

    engine.push("x")

    assert spent_on(SyncAttempt.objects.get(partner="x").spent) == [("keys", 2), ("store", 2), ("confirm", 2)]
