"""From an error to an ending, as values: what is told of an attempt, and the very edges of waiting."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataunion.conf import conf
from dataunion.endings import Ending
from dataunion.models import Partner, SyncJob
from dataunion.state import Attempt, Outcome, Status
from dataunion.sync.decisions import Situation, decide, describe_bug, internal_error, peace_s
from dataunion.sync.items import Unready
from partners.errors import BlockedError, NotReady, PermanentError, TransientError, UnknownOutcome

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def situation(*, started: datetime = NOW, **job: Any) -> Situation:
    return Situation(job=SyncJob(runs=3, **job), partner=Partner(name="akave"), step="store", started=started, now=NOW)


def attempt(outcome: Outcome, **fields: Any) -> Attempt:
    given = {"number": 4, "step": "store", "started_at": NOW.isoformat(), "duration_ms": 0, "trigger": "ingest"}
    return Attempt(outcome=outcome, **{**given, **fields})


def test_a_success_is_told_without_an_error() -> None:
    assert situation().attempt(Outcome.SYNCED) == attempt(Outcome.SYNCED)


@pytest.mark.parametrize(("started", "took_ms"), [(ago(1.5), 1500), (ago(-1.5), 0)])
def test_an_attempt_tells_how_long_it_took(started: datetime, took_ms: int) -> None:
    assert situation(started=started).attempt(Outcome.SYNCED).duration_ms == took_ms


def test_an_error_is_told_as_far_as_the_columns_hold() -> None:
    error = PermanentError("m" * 2001, kind="k" * 21, http_status=418, code="c" * 61)

    told = decide(situation(), error).attempt

    expected = {"error_class": "k" * 20, "error_message": "m" * 2000, "http_status": 418, "code": "c" * 60}
    assert told == attempt(Outcome.PERMANENT, **expected)


def test_an_error_is_told_without_what_no_database_can_store() -> None:
    told = decide(situation(), PermanentError("a\x00b\ud800")).attempt

    assert told is not None
    assert told.error_message == "ab?"


def test_a_record_that_is_not_ready_leaves_no_trace() -> None:
    assert decide(situation(), Unready("no data", after_s=9)) == Ending(status=Status.PENDING, due_at=ago(-9))


def test_a_wait_is_over_only_past_its_limit() -> None:
    error = NotReady("not yet", after_s=9, at_most_s=60)
    error.http_status, error.code = 409, "OperationAborted"

    waits = Ending(status=Status.PENDING, due_at=ago(-9), waits=True, waits_for="not yet")
    assert decide(situation(waiting_since=ago(60)), error) == waits
    told = decide(situation(waiting_since=ago(61)), error).attempt
    assert told is not None
    assert (told.outcome, told.http_status, told.code) == (Outcome.TRANSIENT, 409, "OperationAborted")


def test_what_does_not_wait_has_not_waited() -> None:
    assert decide(situation(), NotReady("not yet", after_s=9, at_most_s=0)).waits


def test_an_unknown_outcome_counts_as_a_wait_up_to_its_limit() -> None:
    error = UnknownOutcome("no answer")
    limit_s = conf().sync_unknown_s

    known = [decide(situation(waiting_since=ago(seconds)), error) for seconds in (limit_s, limit_s + 1)]

    assert [(one.waits, one.spends_attempt) for one in known] == [(True, False), (False, True)]


def test_a_limit_is_told_with_what_the_partner_said() -> None:
    error = TransientError("akave: store: answered 429", http_status=429)

    told = decide(situation(), error).attempt

    expected = {"error_class": "transient", "error_message": "akave: store: answered 429", "http_status": 429}
    assert told == attempt(Outcome.LIMITED, **expected)
    assert peace_s(error) == 5.0


@pytest.mark.parametrize(
    ("before", "is_told"),
    [
        ({}, True),
        ({"error_class": "blocked", "error_message": "The person said no."}, False),
        ({"error_class": "blocked", "error_message": "There is no bucket."}, True),
        ({"error_class": "transient", "error_message": "The person said no."}, True),
    ],
)
def test_a_refusal_is_told_once(before: dict[str, str], is_told: bool) -> None:
    refusal = {"error_class": "blocked", "error_message": "The person said no."}

    told = decide(situation(**before), BlockedError("The person said no.")).attempt

    assert told == (attempt(Outcome.BLOCKED, **refusal) if is_told else None)


def test_a_bug_of_unknown_place_is_told_all_the_same() -> None:
    assert internal_error(KeyError("secret")).message == (
        "Our own bug: KeyError in an unknown place. The log has the trace; retry after a new version."
    )


def test_a_bug_is_logged_by_type_and_trace() -> None:
    def break_down() -> None:
        raise KeyError("secret")

    with pytest.raises(KeyError) as caught:
        break_down()

    trace = "".join(traceback.format_tb(caught.value.__traceback__))
    assert describe_bug(caught.value) == {"type": "KeyError", "trace": trace}
    assert "in break_down" in trace
