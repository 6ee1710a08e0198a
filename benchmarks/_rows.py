"""The rows of a large union: records synced at two partners but for some open work, and what was tried lately.

They are written as they are, past claims and ingest, into an empty database; nothing was ever sent for them. Data have
only those that wait to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model

from benchmarks._inserts import Row, write
from dataunion import roster, stats, vault
from dataunion.causes import name_cause
from dataunion.clock import db_now
from dataunion.models import PAYLOADS, Counters, DataUnion, HourStat, Payload, RemoteRef, SyncAttempt, SyncJob
from dataunion.models._fields import uuid7
from dataunion.state import Outcome, PartnerEntry, Status

PARTNERS = ("akave", "vana")
_SPAN = timedelta(days=30)  # in which the records came in


@dataclass(frozen=True)
class _Open:
    """What one record's open work has in common with others'."""

    partner: str
    status: Status
    step: str = ""
    error_class: str = ""
    message: str = ""
    attempts: int = 12


_FAILURES = (
    _Open("akave", Status.FAILED, "upload", "transient", "akave: upload: HTTP 503"),
    _Open("akave", Status.RETRYING, "confirm", "transient", "akave: confirm: no answer within 30 s"),
    _Open("vana", Status.FAILED, "confirm_register", "permanent", "vana: register: the contract refused 0x{n:040x}"),
    _Open("vana", Status.BLOCKED, "sign_register", "blocked", "vana: the signer's balance is too low"),
    _Open("akave", Status.FAILED, "upload", "limited", "akave: upload: HTTP 429"),
)
_WAITING = _Open("akave", Status.PENDING, attempts=0)


def fill(*, records: int, failures: int, waiting: int = 0, attempts: int = 20_000) -> Iterator[str]:
    """Write the rows, `waiting` of them due at Akave; yield what was written as it goes on.

    Raises ValueError where there are records already.
    """
    if DataUnion.objects.exists():
        raise ValueError("The database has records. Name an empty one in DATABASE_URL.")
    roster.find_partners()
    now = db_now()
    ids = [uuid7() for _ in range(records)]
    work = _choose(records, failures, waiting)
    tries = range(max(0, records - attempts), records)
    yield from _write("records", DataUnion, (_record(n, pk, work.get(n), now, records) for n, pk in enumerate(ids)))
    due = [n for n, one in work.items() if one is _WAITING]
    for data_type, model in PAYLOADS.items():
        numbers = (n for n in due if _owner(n)["data_type"] == data_type)
        yield from _write("payloads", model, (_payload(n, ids[n], model) for n in numbers))
    yield from _write("open jobs", SyncJob, (_job(n, ids[n], one, now) for n, one in work.items()))
    yield from _write("attempts", SyncAttempt, (_attempt(records - n, ids[n], now) for n in tries))
    yield from _write("references", RemoteRef, (_reference(n, ids[n]) for n in tries))
    yield from _write("hours", HourStat, _hours(now))
    _count(records)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # as its autovacuum does after a while


def _choose(records: int, failures: int, waiting: int) -> dict[int, _Open]:
    """Return the open work by its record's number, spread evenly, the waiting among the failures."""
    wanted = failures + waiting
    work: dict[int, _Open] = {}
    for place in range(wanted):
        waited = place * waiting // wanted
        waits = (place + 1) * waiting // wanted > waited
        work[place * records // wanted] = _WAITING if waits else _FAILURES[(place - waited) % len(_FAILURES)]
    return work


def _write(what: str, model: type[Model], rows: Iterable[Row]) -> Iterator[str]:
    for written in write(model, rows):
        yield f"{written:,} {what}"


def _owner(n: int) -> Row:
    return {"user_hash": f"{n // 5:064x}", "data_type": ("health", "checkin")[n % 2]}


def _record(n: int, pk: UUID, work: _Open | None, now: datetime, records: int) -> Row:
    came_in = now - _SPAN + n * _SPAN / records
    receipts: dict[str, dict[str, Any]] = {"akave": {"key": f"health/{n:08d}"}, "vana": {"file_id": n}}
    partners = {name: _synced(receipt, came_in) for name, receipt in receipts.items()}
    if work:
        error = work.message.format(n=n) or None
        partners[work.partner] = PartnerEntry(error_message=error, fence=1, attempts=work.attempts).dump()
    own = {"id": pk, "data_id": f"row-{n:08d}", "partners": partners, "counted": n // stats.FOLD + 1}
    return {**own, **_owner(n), "created_at": came_in, "updated_at": came_in}


def _payload(n: int, pk: UUID, model: type[Payload]) -> Row:
    payload = b'{"steps": %d}' % n
    return {
        "id": pk,
        "user_hash": _owner(n)["user_hash"],
        "data_id": f"row-{n:08d}",
        "payload": vault.seal(payload, model._meta.db_table, pk),
        "size_bytes": len(payload),
        "digest": vault.content_digest(payload),
    }


def _synced(receipt: dict[str, Any], at: datetime) -> dict[str, Any]:
    return PartnerEntry(is_synced=True, fence=1, attempts=1, synced_at=at.isoformat(), receipt=receipt).dump()


def _job(n: int, pk: UUID, work: _Open, now: datetime) -> Row:
    changed_at = now - timedelta(seconds=30 + n)
    message = work.message.format(n=n)
    return {
        "id": uuid7(),
        "record_id": pk,
        **_owner(n),
        "partner": work.partner,
        "status": work.status,
        "step": work.step,
        "attempts": work.attempts,
        "runs": work.attempts,
        "due_at": changed_at if work.status != Status.RETRYING else now + timedelta(hours=1),
        "error_class": work.error_class,
        "error_message": message,
        "cause": name_cause(message) if message else None,
        "created_at": changed_at,
        "changed_at": changed_at,
    }


def _attempt(back: int, pk: UUID, now: datetime) -> Row:
    at = now - timedelta(seconds=5 * back)
    return {
        "id": uuid7(),
        "record_id": pk,
        "partner": PARTNERS[back % 2],
        "data_type": "health",
        "number": 1,
        "fence": 1,
        "step": "confirm",
        "started_at": at,
        "duration_ms": 20 + back % 4000,
        "outcome": Outcome.SYNCED,
        "trigger": "ingest",
        "created_at": at,
    }


def _reference(n: int, pk: UUID) -> Row:
    return {"id": uuid7(), "record_id": pk, "partner": "akave", "kind": "object_key", "value": f"health/{n:08d}"}


def _hours(now: datetime) -> Iterator[Row]:
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    for back in range(int(_SPAN / timedelta(hours=1))):
        for n, partner in enumerate(PARTNERS):
            for outcome, error_class, count in ((Outcome.SYNCED, "", 270), (Outcome.TRANSIENT, "transient", 9 + n)):
                yield {
                    "id": uuid7(),
                    "hour": last - timedelta(hours=back),
                    "partner": partner,
                    "data_type": "health",
                    "outcome": outcome,
                    "error_class": error_class,
                    "count": count,
                    "durations": {"1000": count},
                }


def _count(records: int) -> None:
    """Say what folds that had seen them all would have said."""
    row = stats.read_counters()
    health = (records + 1) // 2
    counts = {name: {"health": health, "checkin": records - health} for name in PARTNERS}
    folds = -(-records // stats.FOLD)
    Counters.objects.filter(pk=row.pk).update(applied=folds, counts={"records": records, "enrolled": counts})
