"""The rows of a large union: records synced at two partners but for some failures, and what was tried lately.

They are written as they are, past claims and ingest, into an empty database; nothing is ever sent for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Model

from dataunion import roster, stats
from dataunion.causes import name_cause
from dataunion.clock import db_now
from dataunion.models import Counters, DataUnion, HourStat, RemoteRef, SyncAttempt, SyncJob
from dataunion.models._fields import uuid7
from dataunion.state import Outcome, PartnerEntry, Status

PARTNERS = ("akave", "vana")
_SPAN = timedelta(days=30)  # in which the records came in
_PAGE = 2000
_FAILURES = (  # partner, step, class, message, status
    ("akave", "upload", "transient", "akave: upload: HTTP 503", Status.FAILED),
    ("akave", "confirm", "transient", "akave: confirm: no answer within 30 s", Status.RETRYING),
    ("vana", "confirm_register", "permanent", "vana: register: the contract refused 0x{n:040x}", Status.FAILED),
    ("vana", "sign_register", "blocked", "vana: the signer's balance is too low", Status.BLOCKED),
    ("akave", "upload", "limited", "akave: upload: HTTP 429", Status.FAILED),
)


def fill(*, records: int, failures: int, attempts: int = 20_000) -> Iterator[str]:
    """Write the rows; yield what was written as it goes on. Raises ValueError where there are records already."""
    if DataUnion.objects.exists():
        raise ValueError("The database has records. Name an empty one in DATABASE_URL.")
    roster.find_partners()
    now = db_now()
    ids = [uuid7() for _ in range(records)]
    every = max(1, records // failures) if failures else records + 1
    failing = {pk: _FAILURES[n // every % len(_FAILURES)] for n, pk in enumerate(ids) if n % every == 0}
    failing = dict(islice(failing.items(), failures))
    yield from _write("records", (_record(n, pk, failing.get(pk), now, records) for n, pk in enumerate(ids)), records)
    yield from _write(
        "failures", (_job(n, pk, failing[pk], now) for n, pk in enumerate(ids) if pk in failing), failures
    )
    recent = ids[-attempts:]
    yield from _write("attempts", (_attempt(n, pk, now) for n, pk in enumerate(recent)), len(recent))
    yield from _write("references", (_reference(n, pk) for n, pk in enumerate(recent)), len(recent))
    yield from _write("hours", _hours(now), 0)
    _count(records)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as its autovacuum does after a while


def _write(what: str, rows: Iterable[Model], wanted: int) -> Iterator[str]:
    source, written = iter(rows), 0
    while page := list(islice(source, _PAGE)):
        type(page[0])._default_manager.bulk_create(page, batch_size=500)
        written += len(page)
        yield f"{written:,} of {wanted:,} {what}" if wanted else f"{written:,} {what}"


def _owner(n: int) -> tuple[str, str]:
    return f"{n // 5:064x}", ("health", "checkin")[n % 2]


def _record(n: int, pk: Any, failure: Any, now: datetime, records: int) -> DataUnion:
    came_in = now - _SPAN + n * _SPAN / records
    receipts: dict[str, dict[str, Any]] = {"akave": {"key": f"health/{n:08d}"}, "vana": {"file_id": n}}
    partners = {name: _synced(receipt, came_in) for name, receipt in receipts.items()}
    if failure:
        partners[failure[0]] = PartnerEntry(error_message=failure[3].format(n=n), fence=1, attempts=12).dump()
    user_hash, data_type = _owner(n)
    return DataUnion(
        id=pk,
        user_hash=user_hash,
        data_type=data_type,
        data_id=f"row-{n:08d}",
        partners=partners,
        counted=1,
        created_at=came_in,
        updated_at=came_in,
    )


def _synced(receipt: dict[str, Any], at: datetime) -> dict[str, Any]:
    return PartnerEntry(is_synced=True, fence=1, attempts=1, synced_at=at.isoformat(), receipt=receipt).dump()


def _job(n: int, pk: Any, failure: tuple[str, str, str, str, Status], now: datetime) -> SyncJob:
    partner, step, error_class, message, status = failure
    user_hash, data_type = _owner(n)
    changed_at = now - timedelta(seconds=30 + n)
    return SyncJob(
        record_id=pk,
        partner=partner,
        user_hash=user_hash,
        data_type=data_type,
        status=status,
        step=step,
        attempts=12,
        runs=12,
        due_at=changed_at if status != Status.RETRYING else now + timedelta(hours=1),
        error_class=error_class,
        error_message=message.format(n=n),
        cause=name_cause(message.format(n=n)),
        created_at=changed_at,
        changed_at=changed_at,
    )


def _attempt(n: int, pk: Any, now: datetime) -> SyncAttempt:
    partner, at = PARTNERS[n % 2], now - timedelta(seconds=5 * n)
    return SyncAttempt(
        record_id=pk,
        partner=partner,
        data_type="health",
        number=1,
        fence=1,
        step="confirm",
        started_at=at,
        duration_ms=20 + n % 4000,
        outcome=Outcome.SYNCED,
        trigger="ingest",
        created_at=at,
    )


def _reference(n: int, pk: Any) -> RemoteRef:
    return RemoteRef(record_id=pk, partner="akave", kind="object_key", value=f"health/{n:08d}")


def _hours(now: datetime) -> Iterator[HourStat]:
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    for back in range(int(_SPAN / timedelta(hours=1))):
        for n, partner in enumerate(PARTNERS):
            for outcome, error_class, count in ((Outcome.SYNCED, "", 270), (Outcome.TRANSIENT, "transient", 9 + n)):
                yield HourStat(
                    hour=last - timedelta(hours=back),
                    partner=partner,
                    data_type="health",
                    outcome=outcome,
                    error_class=error_class,
                    count=count,
                    durations={"1000": count},
                )


def _count(records: int) -> None:
    """Say what a fold that had seen them all would have said."""
    row = stats.read_counters()
    health = (records + 1) // 2
    counts = {name: {"health": health, "checkin": records - health} for name in PARTNERS}
    Counters.objects.filter(pk=row.pk).update(applied=1, counts={"records": records, "enrolled": counts})
