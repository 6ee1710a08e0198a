"""Short words for the tests of the core: rows, and time that is moved in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.test import override_settings

from dataunion import claims, roster
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.endings import Ending
from dataunion.ingest import register_record
from dataunion.models import NEVER, DataUnion, Partner, SyncJob
from dataunion.state import Attempt, Outcome, Status
from partners.testing import FakePartner, FakeService
from tests.factories import SyncJobFactory


def ago(seconds: float) -> datetime:
    """Return a time in the past, in whole milliseconds."""
    return db_now() - timedelta(seconds=seconds)


def ahead(seconds: float) -> datetime:
    """Return a time to come, in whole milliseconds."""
    return ago(-seconds)


def hand_in(data_id: str = "a", payload: bytes | None = b'{"steps":1200}', **fields: Any) -> DataUnion:
    """Register a record and make its jobs due."""
    fields = {"user_hash": "u1", "data_type": "health", **fields}
    record = register_record(data_id=data_id, payload=payload, **fields).record
    SyncJob.objects.filter(record=record).update(due_at=ago(60))
    return record


def make_job(**fields: Any) -> SyncJob:
    """Make a job that is due; akave's and pending unless said."""
    given = {"partner": "akave", "status": "pending", "step": "", "fence": 1, "due_at": ago(10), **fields}
    return SyncJobFactory(**given)


def set_partner(name: str = "akave", **fields: Any) -> None:
    """Change a partner's row."""
    roster.get_partner(name)
    Partner.objects.filter(name=name).update(**fields)


def claim(limit: int = 50) -> list[SyncJob]:
    """Claim akave's due jobs."""
    return claims.claim("akave", limit=limit)


def service(name: str = "akave") -> FakeService:
    """Return what stands behind a FakePartner."""
    return FakePartner.service(name)


def seconds_to(job: SyncJob) -> float:
    """Return how long it is until a job is due."""
    return (job.due_at - db_now()).total_seconds()


def job_of(record: DataUnion, partner: str = "akave") -> SyncJob:
    """Return the open job as it is stored."""
    return SyncJob.objects.get(record=record, partner=partner)


def make_due(record: DataUnion, partner: str = "akave") -> None:
    """Let the time pass for which the job waits."""
    SyncJob.objects.filter(record=record, partner=partner).update(due_at=ago(1))


def expire(*jobs: SyncJob) -> None:
    """Let the time pass for which these jobs are held."""
    SyncJob.objects.filter(pk__in=[job.pk for job in jobs]).update(lease_until=ago(1))


def steal(job: SyncJob) -> SyncJob:
    """Let another worker have the job, as a rescue and its claim would; return the row."""
    SyncJob.objects.filter(pk=job.pk).update(
        lease_token="another", lease_until=ahead(45), fence=job.fence + 1, status="running"
    )
    return SyncJob.objects.get(pk=job.pk)


def row(job: SyncJob) -> dict[str, Any]:
    """Return everything that is stored of a job and its record's entries, to see that nothing changed."""
    stored = SyncJob.objects.filter(pk=job.pk).values().get()
    entries = DataUnion.objects.values_list("partners", flat=True).get(pk=job.record_id)
    saved = None if stored["saved"] is None else bytes(stored["saved"])
    return {**stored, "saved": saved, "entries": entries}


def is_held(job: SyncJob) -> bool:
    """Say whether somebody has the job in hand."""
    return SyncJob.objects.get(pk=job.pk).lease_until > NEVER


@contextmanager
def settings_of(**fields: Any) -> Iterator[None]:
    """Change fields of Conf for a while."""
    with override_settings(DATAUNION=replace(conf(), **fields)):
        yield


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run these in a thread each, started together; return their results, or what they raised."""
    results: list[Any] = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(index: int) -> None:
        try:
            start.wait(30)
            results[index] = acts[index]()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def attempt(outcome: Outcome = Outcome.SYNCED, **fields: Any) -> Attempt:
    """Make the facts of one attempt; a synced one unless said."""
    given = {"number": 1, "step": "store", "started_at": "2026-01-02T03:04:05+00:00", "duration_ms": 7}
    return Attempt(**{**given, "outcome": outcome, "trigger": "ingest", **fields})


def done(**fields: Any) -> Ending:
    """Make the ending of a synced job."""
    given = {"attempt": attempt(), "receipt": {"id": "x"}, "refs": [("fake_id", "x")]}
    return Ending(status=Status.DONE, due_at=db_now(), **{**given, **fields})


FAILURE = attempt(Outcome.TRANSIENT, error_class="transient", error_message="akave: store: HTTP 503", http_status=503)
