"""The hot questions, each asked as production code asks it, and a union large enough that a database has a choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.db import connection, models
from django.test import Client
from django.utils import timezone

from dataunion import claims, exports, person, retries, roster, stats
from dataunion.api import listing
from dataunion.clock import db_now
from dataunion.models import DataUnion, RemoteRef, RetryRun, SyncAttempt, SyncJob, User
from dataunion.models._fields import uuid7
from tests.factories import synced_entry

RECORDS = 600 if connection.vendor == "mongodb" else 6000  # there no plan depends on how many there are
PARTNERS = ("akave", "vana")
TABLES = {model._meta.db_table for model in (DataUnion, SyncJob, SyncAttempt, RemoteRef)}
_FAILED_EVERY = 50
_TICK = timedelta(seconds=5)
_SOME = uuid7()  # the key of a record in the middle
_USER, _REF = "user-7", f"0x{7:064x}"


def fill() -> None:
    """Make the records, half of them open at both partners, of which one in fifty failed."""
    roster.find_partners()
    records = _records()
    for rows in (records, _jobs(records[::2]), _attempts(records), _refs(records)):
        type(rows[0])._default_manager.bulk_create(rows, batch_size=500)  # type: ignore[arg-type]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as its autovacuum does after a while


def _records() -> list[DataUnion]:
    now = timezone.now()
    entries = {name: synced_entry(name) for name in PARTNERS}
    return [
        DataUnion(
            id=_SOME if n == RECORDS // 2 else uuid7(),
            user_hash=f"user-{n // 3}",
            data_type=("health", "checkin")[n % 2],
            data_id=f"id-{n}",
            partners=entries,
            counted=1,
            created_at=now - timedelta(minutes=RECORDS - n),
        )
        for n in range(RECORDS)
    ]


def _jobs(records: Sequence[DataUnion]) -> list[models.Model]:
    now = timezone.now()
    return [
        SyncJob(
            record=record,
            partner=partner,
            user_hash=record.user_hash,
            data_type=("health", "checkin")[n // _FAILED_EVERY % 2],
            status="pending" if n % _FAILED_EVERY else "failed",
            due_at=now + timedelta(minutes=n - len(records) // 2),
            changed_at=now - timedelta(minutes=n),
            saved=bytes(700),
        )
        for n, record in enumerate(records)
        for partner in PARTNERS
    ]


def _attempts(records: Sequence[DataUnion]) -> list[models.Model]:
    return [
        SyncAttempt(
            record=record,
            partner="akave",
            data_type=record.data_type,
            number=1,
            fence=2,
            started_at=record.created_at,
            duration_ms=20,
            outcome="synced",
            trigger="ingest",
            created_at=record.created_at,
        )
        for record in records
    ]


def _refs(records: Sequence[DataUnion]) -> list[models.Model]:
    return [RemoteRef(record=r, partner="vana", kind="tx_hash", value=f"0x{n:064x}") for n, r in enumerate(records)]


def _admin(path: str) -> Callable[[], object]:
    return _page(f"/admin/dataunion/{path}")


def _page(path: str) -> Callable[[], object]:
    def get() -> None:
        client = Client()
        person, _ = User.objects.get_or_create(username="reader", is_staff=True, is_superuser=True)
        client.force_login(person)
        response = client.get(path)
        if response.status_code != 200:
            raise RuntimeError(f"{path}: {response.status_code}")

    return get


QUESTIONS: Mapping[str, Callable[[], object]] = {
    "due work of a partner": lambda: claims.claim("akave", limit=20),
    "due work, few newcomers": lambda: claims.claim("vana", limit=20, newcomers=3),
    "when a partner's next work is due": lambda: SyncJob.objects.next_due("vana", db_now(), db_now() + _TICK),
    "failures of a partner": lambda: DataUnion.find_failed_syncs("akave"),
    "failures of a partner and type": lambda: DataUnion.find_failed_syncs("akave", "health"),
    "what a partner's work waits for": lambda: stats.read_waits("akave", db_now()),
    "a partner's last trouble": lambda: SyncJob.objects.last_trouble("akave"),
    "expired leases": lambda: SyncJob.objects.expired(db_now(), limit=500),
    "record by reference": lambda: DataUnion.find_by_data_reference(_USER, "health", "id-22"),
    "progress of a retry run": lambda: retries.read_progress([RetryRun(pk=_SOME)]),
    "admin: open work of a status": _admin("syncjob/?status=failed"),
    "admin: errors of a partner": _admin("syncjob/?status=error&partner=akave"),
    "admin: records with failed work": _admin("dataunion/?status=failed"),
    "admin: the overview": _page("/admin/"),
    "attempts of a record": _admin(f"dataunion/{_SOME}/change/"),
    "remote reference": _admin(f"dataunion/?q={_REF}"),
    "admin: open work of a cause": _admin("syncjob/?cause=a&partner=akave"),
    "admin: open work of a retry run": _admin(f"syncjob/?run={_SOME}"),
    "admin: open work by a remote reference": _admin(f"syncjob/?q={_REF}"),
    "admin: open work by a data id": _admin("syncjob/?q=id-22"),
    "admin: records with an error class": _admin("dataunion/?error_class=internal"),
    "admin: records of a retry run": _admin(f"dataunion/?run={_SOME}"),
    "admin: one person": _admin(f"dataunion/person/?user={_USER}"),
    "export of one person": lambda: list(person.write_export(_USER, timezone.now())),
    "CSV of failed work": lambda: list(exports.read_jobs(SyncJob.objects.filter(status="failed"))),
    "CSV of records with failed work": lambda: list(
        exports.read_records(DataUnion.objects.all(), SyncJob.objects.filter(status="failed"), PARTNERS)
    ),
    "REST: failed records of a partner": lambda: listing.find_records(partner="akave", status="failed"),
    "REST: records of a user": lambda: listing.find_records(user_hash=_USER),
}
# Newest first, from a time on: what is asked for stands at the end of the index where the walk begins.
NEWEST: Mapping[str, Callable[[], object]] = {
    "admin: records of the last hour": _admin("dataunion/?created=1h"),
    "admin: the overview of the last hour": _page("/admin/?window=1h"),
    "admin: attempts of the last hour": _admin("syncattempt/?created=1h"),
    "admin: open work of so many attempts": _admin("syncjob/?attempts=2-5"),
    "admin: open work changed in the last hour": _admin("syncjob/?changed=1h"),
    "admin: records whose work has so many attempts": _admin("dataunion/?attempts=2-5"),
    "REST: records since": lambda: listing.find_records(created_after=timezone.now() - timedelta(hours=1)),
}
# These want most of the open work, or what a walk through it soon finds.
SUMMARIES = {
    QUESTIONS["what a partner's work waits for"],
    QUESTIONS["admin: the overview"],
    NEWEST["admin: the overview of the last hour"],
    NEWEST["admin: open work of so many attempts"],
    NEWEST["admin: records whose work has so many attempts"],
}
