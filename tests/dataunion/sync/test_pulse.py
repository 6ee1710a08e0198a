"""What a chunk makes of its partner's answers: what it tells the breaker, and when it leaves the partner alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataunion import gate, roster
from dataunion.clock import db_now
from dataunion.models import Partner, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from partners.errors import BlockedError, MisconfiguredError, NotReady, PermanentError, TransientError, UnknownOutcome
from tests.dataunion.sync.adapters import Signs, partners_of
from tests.dataunion.work import ahead, at_once, hand_in, job_of, service, set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)

DOWN = TransientError("akave: store: HTTP 503", http_status=503)
LIMIT = TransientError("akave: store: HTTP 429", http_status=429, retry_after_s=60.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Make one call at a time, so that it is known which are made."""
    with settings_of(sync_threads=1):
        yield


def hand_in_many(number: int) -> None:
    for index in range(number):
        hand_in(str(index))


def counts(name: str = "akave") -> tuple[int, int]:
    """Return the successes and failures that the breaker knows of."""
    window = (Partner.objects.get(name=name).breaker or {}).get("window", [])
    return sum(part[1] for part in window), sum(part[2] for part in window)


def statuses() -> list[str]:
    return sorted(SyncJob.objects.filter(partner="akave").values_list("status", flat=True))


# --- what counts


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (NotReady("akave: store: not yet", after_s=5.0), (1, 0)),
        (PermanentError("akave: store: HTTP 422", http_status=422), (1, 0)),
        (PermanentError("akave: store: too big for us"), (0, 0)),
        (BlockedError("akave: store: no bucket"), (0, 0)),
        (RuntimeError("a bug"), (0, 0)),
        (LIMIT, (0, 0)),
        (DOWN, (0, 1)),
        (UnknownOutcome("akave: store: no answer"), (0, 1)),
    ],
)
def test_each_answer_tells_the_breaker_what_it_shows(answer: Exception, expected: tuple[int, int]) -> None:
    hand_in()
    service().plan("store", answer)

    engine.push("akave")

    assert counts() == expected


def test_a_job_counts_once_however_many_of_its_steps_were_answered() -> None:
    hand_in_many(3)
    service().plan("confirm", DOWN)

    engine.push("akave")

    assert counts() == (2, 1)


def test_a_step_that_asks_nobody_is_no_sign_of_life() -> None:
    hand_in()
    service().plan("store", RuntimeError("a bug"))

    engine.push("akave")

    assert counts() == (0, 0)


# --- when to stop


def test_what_was_not_begun_when_the_partner_asked_for_peace_stays_as_it_was() -> None:
    hand_in_many(6)
    service().plan("store", LIMIT)

    engine.push("akave")

    assert (service().called("store"), service().called("confirm")) == (1, 0)
    assert statuses() == [Status.PENDING] * 5 + [Status.RETRYING]
    assert {job.step for job in SyncJob.objects.filter(partner="akave")} == {"store"}
    assert SyncAttempt.objects.filter(partner="akave").count() == 1
    assert engine.push("akave") == 0


def test_a_refusal_of_our_credentials_is_asked_for_once() -> None:
    hand_in_many(6)
    service().plan("store", MisconfiguredError("akave: store: 403; set secret_access_key"))

    engine.push("akave")

    assert service().called("store") == 1
    assert statuses() == [Status.PENDING] * 5 + [Status.RETRYING]


def test_the_chunk_ends_as_soon_as_the_breaker_opens() -> None:
    hand_in_many(30)
    service().plan("store", *[DOWN] * 30)

    assert engine.push("akave") == 30

    assert service().called("store") == 10
    assert statuses() == [Status.PENDING] * 20 + [Status.RETRYING] * 10


def test_a_chunk_stops_when_others_have_opened_the_breaker() -> None:
    hand_in_many(6)
    until = ahead(30).timestamp()
    service().plan(
        "store", lambda item: at_once(lambda: set_partner(breaker={"open_until": until, "trips": 1})) and 1 / 0
    )
    service().plan("store", DOWN)

    engine.push("akave")

    assert service().called("confirm") == 0
    assert Partner.objects.get(name="akave").breaker["open_until"] == until


def test_a_few_failures_stop_nothing() -> None:
    hand_in_many(12)
    service().plan("store", *[DOWN] * 4)

    engine.push("akave")

    assert service().called("store") == 12
    assert counts() == (8, 4)


def test_the_first_failure_of_a_chunk_does_not_end_a_drain() -> None:
    hand_in_many(4)
    set_partner(breaker={"pace": 4, "trips": 1})
    service().plan("store", DOWN)

    engine.push("akave")

    assert service().called("store") == 4
    assert (Partner.objects.get(name="akave").breaker or {})["pace"] == 4


# --- the probe


def half_open(**fields: Any) -> None:
    set_partner(breaker={"open_until": db_now().timestamp() - 1, "trips": 1, **fields})


def test_a_probe_that_only_has_to_wait_closes_the_breaker() -> None:
    half_open()
    hand_in()
    service().plan("confirm", NotReady("akave: confirm: not yet", after_s=5.0))

    engine.push("akave")

    assert Partner.objects.get(name="akave").breaker["open_until"] is None


def test_while_any_job_is_in_hand_there_is_no_probe() -> None:
    hand_in_many(2)
    SyncJob.objects.filter(partner="akave", record=job_of_first()).update(
        status=Status.RUNNING, lease_until=ahead(30), lease_token="another"
    )
    half_open()

    assert engine.push("akave") == 0


def job_of_first() -> Any:
    return SyncJob.objects.filter(partner="akave").order_by("pk").first().record  # type: ignore[union-attr]


def test_nobody_elses_report_is_taken_for_the_probes() -> None:
    hand_in_many(1)
    half_open(probe_until=ahead(60).timestamp(), probe_by="the prober")

    for good, bad in ((5, 0), (0, 5), (0, 0)):
        with gate.hold("akave") as held:
            assert held
            held.report(good, bad, "somebody else")

    breaker = Partner.objects.get(name="akave").breaker
    assert (breaker["probe_by"], breaker["open_until"] is not None, breaker["trips"]) == ("the prober", True, 1)


def test_a_draining_partner_has_no_more_in_hand_than_its_pace() -> None:
    hand_in_many(8)
    row = job_of(job_of_first())
    SyncJob.objects.filter(pk=row.pk).update(status=Status.RUNNING, lease_until=ahead(30), lease_token="another")
    set_partner(breaker={"pace": 4})

    with gate.hold("akave") as held:
        assert held
        assert held.places(50) == 3


# --- who cannot even be asked


def look_four_times(settings: Any, problem: TransientError) -> int:
    """Push to a chain with this problem, whatever peace was asked for; return how often it was looked at."""
    settings.PARTNERS = partners_of(x="Signs")
    hand_in()
    Signs.looked_at.clear()
    Signs.problem = problem
    try:
        for _ in range(4):
            set_partner("x", not_before=db_now())
            engine.push("x")
    finally:
        Signs.problem = None
    return len(Signs.looked_at)


def test_a_chain_that_asks_for_peace_is_not_one_that_is_not_reached(settings: Any) -> None:
    assert look_four_times(settings, TransientError("x: answered 429", retry_after_s=1, http_status=429)) == 4

    assert (Partner.objects.get(name="x").breaker or {}).get("open_until") is None


def test_a_chain_that_is_not_reached_twice_opens_the_breaker(settings: Any) -> None:
    assert look_four_times(settings, TransientError("x: the node does not answer")) == 2

    assert (Partner.objects.get(name="x").breaker or {})["open_until"] > db_now().timestamp() + 20


def test_a_partner_that_wants_peace_is_not_even_looked_at(settings: Any) -> None:
    settings.PARTNERS = partners_of(x="Signs")
    hand_in()
    Signs.looked_at.clear()
    roster.get_partner("x")
    set_partner("x", not_before=ahead(60))

    assert engine.push("x") == 0

    assert Signs.looked_at == []


def test_the_breaker_is_told_though_the_look_before_the_next_chunk_fails(settings: Any, monkeypatch: Any) -> None:
    settings.PARTNERS = partners_of(x="Signs")
    hand_in()
    look = Signs.look_at_signer
    Signs.looked_at.clear()

    def look_once(self: Signs, unmined: Any) -> Any:
        if Signs.looked_at:
            raise RuntimeError("a bug")
        return look(self, unmined)

    monkeypatch.setattr(Signs, "look_at_signer", look_once)
    monkeypatch.setattr(Signs, "steps", ("keys", "sign", "confirm"))
    with pytest.raises(RuntimeError, match="a bug"):
        engine.push("x")

    assert counts("x") == (1, 0)
