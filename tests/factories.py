"""Rows for tests, consistent as the moves leave them: a record is synced everywhere unless a job says otherwise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import factory
from django.utils import timezone

from dataunion import access, vault
from dataunion.models import (
    ApiKey,
    Backfill,
    CheckIn,
    DataUnion,
    HealthData,
    HourStat,
    Incident,
    Partner,
    RemoteRef,
    RetryPolicy,
    RetryRun,
    SyncAttempt,
    SyncJob,
    User,
)
from dataunion.models._fields import uuid7
from dataunion.state import FAILING, PartnerEntry, Status

SYNCED_AT = "2026-01-02T03:04:05+00:00"
PASSWORD = "correct horse battery staple"


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A person without any right; `StaffFactory` and `AdminFactory` have them."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    password = factory.django.Password(PASSWORD)


class StaffFactory(UserFactory):
    """A person of the staff; give permissions by `user.user_permissions` or groups."""

    username = factory.Sequence(lambda n: f"staff{n}")
    is_staff = True


class AdminFactory(StaffFactory):
    """A superuser."""

    username = factory.Sequence(lambda n: f"admin{n}")
    is_superuser = True


class ApiKeyFactory(factory.django.DjangoModelFactory[ApiKey]):
    """A service's key. The key in clear is the made row's attribute `key`; the scope is `read` unless said."""

    class Meta:
        model = ApiKey

    name = factory.Sequence(lambda n: f"service {n}")
    scopes = ["read"]

    @classmethod
    def _create(cls, model_class: type[ApiKey], *args: Any, **fields: Any) -> ApiKey:
        row, key = access.make_key(name=fields.pop("name"), scopes=fields.pop("scopes"))
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
        row.key = key  # type: ignore[attr-defined]
        return row


def synced_entry(partner: str, **changes: Any) -> dict[str, Any]:
    """Return an entry's JSON as `complete` leaves it."""
    receipt = {"url": f"https://{partner}.example/object"}
    return PartnerEntry(is_synced=True, synced_at=SYNCED_AT, fence=2, attempts=1, receipt=receipt).dump() | changes


class DataUnionFactory(factory.django.DjangoModelFactory[DataUnion]):
    """A record, synced with akave and vana. Make a SyncJobFactory(record=…) for one that is not."""

    class Meta:
        model = DataUnion

    user_hash = factory.Sequence(lambda n: f"user-{n:04d}")
    data_type = "health"
    data_id = factory.Sequence(lambda n: f"data-{n:04d}")
    partners = factory.LazyFunction(lambda: {name: synced_entry(name) for name in ("akave", "vana")})


class _PayloadFactory(factory.django.DjangoModelFactory[Any]):
    class Meta:
        abstract = True

    class Params:
        record = factory.SubFactory(DataUnionFactory)
        content = {"steps": 1200}  # any JSON value

    id = factory.SelfAttribute("record.pk")
    user_hash = factory.SelfAttribute("record.user_hash")
    data_id = factory.SelfAttribute("record.data_id")

    @classmethod
    def _adjust_kwargs(cls, **fields: Any) -> dict[str, Any]:
        content = json.dumps(fields.pop("content"), separators=(",", ":"), ensure_ascii=False).encode()
        table = cls._meta.model._meta.db_table
        sealed = vault.seal(content, table, fields["id"])
        return fields | {"payload": sealed, "size_bytes": len(content), "digest": vault.content_digest(content)}


class HealthDataFactory(_PayloadFactory):
    """The data of a health record: HealthDataFactory(record=…, content={…})."""

    class Meta:
        model = HealthData


class CheckInFactory(_PayloadFactory):
    """The data of a check-in: CheckInFactory(record=…, content={…})."""

    class Meta:
        model = CheckIn

    class Params:
        record = factory.SubFactory(DataUnionFactory, data_type="checkin")
        content = {"mood": "good"}


class SyncJobFactory(factory.django.DjangoModelFactory[SyncJob]):
    """Open work, with the entry of its record to match. Failed unless said: SyncJobFactory(status="pending")."""

    class Meta:
        model = SyncJob
        skip_postgeneration_save = True

    record = factory.SubFactory(DataUnionFactory)
    partner = "vana"
    user_hash = factory.SelfAttribute("record.user_hash")
    data_type = factory.SelfAttribute("record.data_type")
    status = Status.FAILED
    fence = 3
    step = "store"
    attempts = factory.LazyAttribute(lambda job: 2 if job.status in FAILING else 0)
    runs = factory.SelfAttribute("attempts")
    error_class = factory.LazyAttribute(lambda job: "permanent" if job.status in FAILING else "")
    error_message = factory.LazyAttribute(
        lambda job: f"{job.partner}: store: refused the object" if job.status in FAILING else ""
    )
    due_at = factory.LazyFunction(timezone.now)

    @factory.post_generation
    def _entry(self: SyncJob, create: bool, _: Any, **__: Any) -> None:
        entry = PartnerEntry(error_message=self.error_message or None, fence=self.fence, attempts=self.runs)
        self.record.partners[self.partner] = entry.dump()
        if create:
            self.record.save(update_fields=["partners"])


class SyncAttemptFactory(factory.django.DjangoModelFactory[SyncAttempt]):
    """One attempt that failed."""

    class Meta:
        model = SyncAttempt

    record = factory.SubFactory(DataUnionFactory)
    partner = "vana"
    data_type = factory.SelfAttribute("record.data_type")
    number = factory.Sequence(lambda n: n + 1)
    fence = factory.Sequence(lambda n: n + 1)
    step = "store"
    started_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    duration_ms = 120
    outcome = "transient"
    error_class = "transient"
    error_message = "vana: store: HTTP 503; it is tried again"
    http_status = 503
    trigger = "ingest"


class RemoteRefFactory(factory.django.DjangoModelFactory[RemoteRef]):
    """A transaction hash of a record."""

    class Meta:
        model = RemoteRef

    record = factory.SubFactory(DataUnionFactory)
    partner = "vana"
    kind = "tx_hash"
    value = factory.Sequence(lambda n: f"0x{n:064x}")


class PartnerFactory(factory.django.DjangoModelFactory[Partner]):
    """A partner's row; made once for each name."""

    class Meta:
        model = Partner
        django_get_or_create = ("name",)

    name = "vana"
    adapter = "partners.testing.FakePartner"


class RetryRunFactory(factory.django.DjangoModelFactory[RetryRun]):
    """A bulk retry under way."""

    class Meta:
        model = RetryRun

    filter = {"partner": "vana"}
    asked_by = "staff"
    total = 5
    wanted = 4
    done = 1


class HourStatFactory(factory.django.DjangoModelFactory[HourStat]):
    """Synced attempts of the present hour."""

    class Meta:
        model = HourStat

    hour = factory.LazyFunction(lambda: timezone.now().replace(minute=0, second=0, microsecond=0))
    partner = "vana"
    data_type = "health"
    outcome = "synced"
    count = 3
    durations = {"100": 3}


def hours_ago(hours: float) -> datetime:
    """Return an aware time in the past."""
    return timezone.now() - timedelta(hours=hours)


class RetryPolicyFactory(factory.django.DjangoModelFactory[RetryPolicy]):
    """A daily retry of what vana refused, switched on."""

    class Meta:
        model = RetryPolicy

    partner = "vana"
    error_classes = factory.LazyFunction(lambda: ["permanent"])
    hour = 3
    is_on = True
    changed_by = "ada"


class BackfillFactory(factory.django.DjangoModelFactory[Backfill]):
    """A backfill of one partner under way."""

    class Meta:
        model = Backfill

    partner = "akave"
    open_for = factory.SelfAttribute("partner")
    asked_by = "olga"
    about = 100
    until = factory.LazyFunction(uuid7)


class IncidentFactory(factory.django.DjangoModelFactory[Incident]):
    """A partner that the system stopped."""

    class Meta:
        model = Incident

    rule = "stopped"
    subject = "akave"
    slot = factory.LazyAttribute(lambda row: f"{row.rule} {row.subject}")
    said = "akave does not answer."
