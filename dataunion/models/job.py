"""The open work (SyncJob), its history (SyncAttempt) and what partners gave back (RemoteRef)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.utils import timezone

from dataunion.causes import LONGEST
from dataunion.conf import conf
from dataunion.models import lookups as lookups  # registers them
from dataunion.models._fields import Key
from dataunion.models.record import DataUnion
from dataunion.state import BULK, CLAIMABLE, FAILING, LIVE, DataType, Status
from dataunion.wording import say_class, say_status

NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # lease_until of a job that nobody holds


def has_ended(field: str, now: datetime, *, lasts_s: float) -> models.Q:
    """Return the condition that a lease has ended: it is past, or lies further ahead than any lease lasts.

    Such a one was written by a clock that ran ahead. Twice as far is taken for that, since a deploy may change how
    long a lease lasts, and `now` may be a little old.
    """
    return models.Q(**{f"{field}__lte": now}) | models.Q(**{f"{field}__gt": _furthest(now, lasts_s)})


def _furthest(now: datetime, lasts_s: float) -> datetime:
    return now + timedelta(seconds=2 * lasts_s)


class SyncJobQuerySet(models.QuerySet["SyncJob"]):
    """Questions about open work; each is served by an index."""

    def due(self, partner: str, now: datetime) -> SyncJobQuerySet:
        """Return what may be claimed: due, and held by nobody (or by someone whose lease ran out unpublished)."""
        return self.filter(partner=partner, status__in=CLAIMABLE, lease_until__lte=NEVER, due_at__lte=now)

    def first_due(self, partner: str, now: datetime, *, priority: int, limit: int) -> list[tuple[UUID, int]]:
        """Return key and crashes of what is due first of a priority.

        Each status is asked for by itself: it is one range of the index in its own order, where a database that is
        asked for both sorts all that is due.
        """
        free = self.filter(partner=partner, priority=priority, lease_until__lte=NEVER, due_at__lte=now)
        found: list[tuple[datetime, UUID, int]] = []
        for status in CLAIMABLE:
            jobs = free.filter(status=status).order_by("due_at")
            found += jobs.values_list("due_at", "pk", "crashes")[:limit]
        return [(pk, crashes) for _, pk, crashes in sorted(found)[:limit]]

    def next_due(self, partner: str, now: datetime, until: datetime) -> datetime | None:
        """Return when the partner's next job becomes due after `now`; None where that is after `until`."""
        coming = self.filter(partner=partner, status__in=CLAIMABLE, priority__in=(LIVE, BULK))
        found: datetime | None = coming.filter(due_at__gt=now, due_at__lte=until).aggregate(next=models.Min("due_at"))[
            "next"
        ]
        return found

    def expired(self, now: datetime, *, limit: int) -> list[SyncJob]:
        """Return jobs that somebody took into hand and left there.

        Two questions, since each is one range of an index, and what an OR costs is the database's choice.
        """
        found = list(self.past(now)[:limit])
        return found + list(self.astray(now)[: limit - len(found)])

    def past(self, now: datetime) -> SyncJobQuerySet:
        """Return jobs whose lease has run out, the longest first."""
        return self.filter(lease_until__gt=NEVER, lease_until__lte=now).order_by("lease_until")

    def astray(self, now: datetime) -> SyncJobQuerySet:
        """Return jobs whose lease lies further ahead than any lasts; see `has_ended`."""
        return self.filter(lease_until__gt=_furthest(now, conf().sync_lease_s)).order_by("lease_until")

    def held(self, now: datetime) -> SyncJobQuerySet:
        """Return jobs that somebody has in hand, as far as the clock tells."""
        return self.filter(lease_until__gt=now, lease_until__lte=_furthest(now, conf().sync_lease_s))

    def waiting(self, partner: str, now: datetime) -> SyncJobQuerySet:
        """Return what waits until the partner, or the chain behind it, is ready."""
        return self.filter(partner=partner, status=Status.PENDING, due_at__gt=now, waits_for__isnull=False)

    def last_trouble(self, partner: str) -> str:
        """Return the newest error after which this partner is asked again, or ""."""
        found: list[tuple[datetime, str]] = []
        for kind in DataType:  # as the index begins
            jobs = self.filter(partner=partner, data_type=kind, status=Status.RETRYING).order_by("-changed_at")
            found += jobs.values_list("changed_at", "error_message")[:1]
        return max(found)[1] if found else ""

    def failing(self) -> SyncJobQuerySet:
        """Return what `failed` means to people: not synced, and the last attempt ended in an error, or blocked."""
        return self.filter(status__in=FAILING)


class SyncJob(models.Model):
    """One record that one partner does not have yet. Written by claims and its neighbours only.

    `lease_until` above NEVER means that somebody is in the middle of something with this row: a worker (running), or
    whoever stored an `outcome` and has not published it yet.
    """

    id = Key()
    record = models.ForeignKey(DataUnion, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="jobs")
    partner = models.CharField(max_length=40)
    kind = models.CharField(max_length=8, default="push")
    user_hash = models.CharField(max_length=128)
    data_type = models.CharField(max_length=16)
    status = models.CharField(max_length=10, default=Status.PENDING)
    priority = models.SmallIntegerField(default=LIVE)
    trigger = models.CharField(max_length=100, default="ingest")  # who or what asked for the next attempt
    attempts = models.IntegerField(default=0)  # of the budget; a reopen sets it to 0
    runs = models.IntegerField(default=0)  # attempts recorded in all, over reopens and earlier jobs
    crashes = models.IntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    waiting_since = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=32, default="", blank=True)
    lease_until = models.DateTimeField(default=NEVER)
    fence = models.BigIntegerField(default=1)
    step = models.CharField(max_length=40, default="", blank=True)  # the next step to run
    saved = models.BinaryField(null=True)  # step results, sealed
    # What the steps took since the last attempt was recorded, noted at a wait; shape: state.add_spent.
    spent: models.JSONField[Any, Any] = models.JSONField(null=True)
    outcome: models.JSONField[Any, Any] = models.JSONField(null=True)  # stored by a move until it is published
    error_class = models.CharField(max_length=20, default="", blank=True)
    error_message = models.TextField(default="", blank=True)
    # What the message has in common with others'; NULL also where an older version wrote the row.
    cause = models.CharField(max_length=LONGEST, null=True, blank=True)
    # What it is too early for; NULL where it waits for nothing, and where an older version wrote the row.
    waits_for = models.CharField(max_length=LONGEST, null=True, blank=True)
    run = models.UUIDField(null=True)  # the retry run that reopened it last
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = SyncJobQuerySet.as_manager()

    class Meta:
        db_table = "syncjobs"
        verbose_name = "open job"
        verbose_name_plural = "open work"
        permissions = [("operate", "Can retry, pause and resume")]
        constraints = [models.UniqueConstraint(fields=["record", "partner"], name="job_once")]
        indexes = [
            models.Index(fields=["partner", "status", "priority", "due_at"], name="job_due"),
            models.Index(fields=["partner", "data_type", "changed_at"], name="job_failures"),
            models.Index(fields=["lease_until"], name="job_lease"),
            models.Index(fields=["user_hash"], name="job_user"),
            models.Index(fields=["record", "partner"], name="job_record"),
            models.Index(fields=["changed_at", "id"], name="job_changed"),
            models.Index(fields=["status", "changed_at", "id"], name="job_status"),
            models.Index(fields=["run", "status"], name="job_run"),
        ]

    def __str__(self) -> str:
        return f"{self.partner}, {say_status(self.status)}: record {self.record_id}"


class SyncAttempt(models.Model):
    """One attempt of the past. Append only; pruned by age."""

    id = Key()
    record = models.ForeignKey(
        DataUnion, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="attempts"
    )
    partner = models.CharField(max_length=40)
    data_type = models.CharField(max_length=16)
    kind = models.CharField(max_length=8, default="push")
    number = models.IntegerField()
    fence = models.BigIntegerField()
    step = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField()
    duration_ms = models.IntegerField()  # of its last run; an attempt that waited had others before
    spent: models.JSONField[Any, Any] = models.JSONField(null=True)  # on its steps; shape: state.add_spent
    outcome = models.CharField(max_length=16)
    error_class = models.CharField(max_length=20, blank=True)
    error_message = models.TextField(blank=True)
    http_status = models.IntegerField(null=True)
    code = models.CharField(max_length=60, blank=True)
    trigger = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "syncattempts"
        verbose_name = "attempt"
        constraints = [models.UniqueConstraint(fields=["record", "partner", "fence"], name="attempt_once")]
        indexes = [
            models.Index(fields=["record", "partner", "fence"], name="attempt_record"),
            models.Index(fields=["created_at"], name="attempt_created"),
        ]

    def __str__(self) -> str:
        return f"{self.partner} #{self.number}: {say_class(self.outcome)}"


class RemoteRef(models.Model):
    """A name under which a partner knows a record: object key, transaction hash, file id."""

    id = Key()
    record = models.ForeignKey(DataUnion, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="refs")
    partner = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
    value = models.CharField(max_length=200)

    class Meta:
        db_table = "remoterefs"
        verbose_name = "remote reference"
        constraints = [
            models.UniqueConstraint(fields=["record", "partner", "kind", "value"], name="ref_once"),
        ]
        indexes = [models.Index(fields=["value"], name="ref_value"), models.Index(fields=["record"], name="ref_record")]

    def __str__(self) -> str:
        return f"{self.partner} {self.kind} {self.value}"
