"""What the log tells of a chunk's jobs: whose they are, where they stopped, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dataunion.clock import db_now
from dataunion.models import DataUnion, SyncJob
from dataunion.sync import engine
from partners.errors import NotReady, TransientError
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import at_once, hand_in, job_of, service, settings_of, steal

pytestmark = pytest.mark.django_db(transaction=True)
FACTS = ("partner", "job", "record", "step", "class", "cause", "type")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Return level, event and facts of what chunks logged."""
    lines = [line for line in caplog.records if line.name == "dataunion.sync.chunk"]
    return [(r.levelname, r.getMessage(), {k: v for k, v in vars(r).items() if k in FACTS}) for r in lines]


def facts_of(record: DataUnion, partner: str, step: str) -> dict[str, str]:
    return {"partner": partner, "job": str(job_of(record, partner).pk), "record": str(record.pk), "step": step}


def test_a_partners_failure_is_told_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    record = hand_in()
    service().plan("store", TransientError("akave: store: HTTP 503"))

    engine.push("akave")

    why = {"class": "transient", "cause": "akave: store: HTTP 503"}
    assert told(caplog) == [("WARNING", "sync.partner.failed", facts_of(record, "akave", "store") | why)]


def test_a_bug_of_ours_is_told_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    record = hand_in()
    service().plan("store", RuntimeError("a bug"))

    engine.push("akave")

    facts = facts_of(record, "akave", "store") | {"type": "RuntimeError"}
    assert told(caplog) == [("ERROR", "sync.partner.bug", facts)]
    [line] = [line for line in caplog.records if line.message == "sync.partner.bug"]
    assert "in act" in vars(line)["trace"]


def test_a_bug_after_the_last_step_is_told_as_such(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.PARTNERS = partners_of(x="BadReceipt")
    record = hand_in()

    engine.push("x")

    assert told(caplog) == [("ERROR", "sync.partner.bug", facts_of(record, "x", "finished") | {"type": "TypeError"})]


def test_a_wait_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    hand_in()
    service().plan("store", NotReady("akave: store: not yet", after_s=5.0))

    engine.push("akave")

    assert told(caplog) == []


def test_a_lease_that_was_lost_is_told(caplog: pytest.LogCaptureFixture) -> None:
    kept, lost = hand_in("a"), hand_in("b")

    def lose_the_other(item: Any) -> None:
        if item.record_id == str(kept.pk):
            at_once(lambda: steal(job_of(lost)))
            first = at_once(lambda: job_of(kept).lease_until)[0]
            deadline = at_once(db_now)[0] + timedelta(seconds=20)
            while at_once(lambda: job_of(kept).lease_until)[0] == first and at_once(db_now)[0] < deadline:
                pass

    service().plan("store", lose_the_other, lose_the_other)

    with settings_of(sync_lease_s=3.0):
        engine.push("akave")

    job = SyncJob.objects.get(partner="akave")
    assert told(caplog) == [("WARNING", "sync.lease.lost", {"partner": "akave", "job": str(job.pk)})]
