"""Rows of the work behind the work: bulk retries, leases of periodic tasks, statistics."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.text import capfirst

from dataunion.models._fields import Key
from dataunion.models.job import NEVER
from dataunion.state import RunState
from dataunion.wording import say_class, say_filter


class RetryRun(models.Model):
    """A bulk retry. Shape of filter: {"partner": "vana", "data_type": "health", "error_class": "transient"}."""

    id = Key()
    filter = models.JSONField(default=dict)
    asked_by = models.CharField(max_length=150)
    state = models.CharField(max_length=10, default=RunState.RUNNING)
    total = models.IntegerField(default=0)  # failures that matched when it was asked for
    wanted = models.IntegerField(default=0)  # of these, how many can be reopened (blocked ones cannot)
    done = models.IntegerField(default=0)  # reopened so far
    passed_on = models.IntegerField(null=True)  # of what it reopened, what somebody retried again later; NULL: none
    # Which work it is, until it has ended: a second run of the same work cannot be made beside it.
    work = models.CharField(max_length=64, null=True, blank=True)
    cursor = models.CharField(max_length=36, default="", blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    is_joined = False  # for whoever asked: it was under way already

    class Meta:
        db_table = "retryruns"
        verbose_name = "retry run"
        constraints = [models.UniqueConstraint(fields=["work"], name="run_once")]
        indexes = [
            models.Index(fields=["state"], name="run_state"),
            models.Index(fields=["created_at"], name="run_at"),
            models.Index(fields=["work"], name="run_work"),
        ]

    def __str__(self) -> str:
        return f"{capfirst(say_filter(self.filter))}, asked for by {self.asked_by}"


class RetryPolicy(models.Model):
    """Retries failed work of some error classes once a day. Shape of error_classes: ["permanent", "poison"]."""

    id = Key()
    partner = models.CharField(max_length=40, default="", blank=True)  # "": every partner
    error_classes: models.JSONField[Any, Any] = models.JSONField(default=list)
    hour = models.SmallIntegerField(default=3)  # of the day, UTC
    is_on = models.BooleanField(default=False)
    next_at = models.DateTimeField(default=timezone.now)
    changed_by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        db_table = "retrypolicies"
        verbose_name = "retry policy"
        verbose_name_plural = "retry policies"

    def __str__(self) -> str:
        errors = capfirst(", ".join(map(say_class, self.error_classes)))
        return f"{errors} at {self.partner or 'every partner'}, daily at {self.hour:02}:00 UTC"


class TaskLease(models.Model):
    """Lets one worker at a time run a periodic task, so that two beats are harmless."""

    id = Key()
    name = models.CharField(max_length=40, unique=True)
    token = models.CharField(max_length=32, default="", blank=True)
    until = models.DateTimeField(default=NEVER)
    ran_at = models.DateTimeField(default=NEVER)

    class Meta:
        db_table = "taskleases"
        indexes = [models.Index(fields=["name"], name="lease_name")]

    def __str__(self) -> str:
        return self.name


class Counters(models.Model):
    """One row: what ingest has added. Shape of counts: {"records": 3, "enrolled": {"akave": {"health": 3}}}.

    A record is counted by the fold whose number it bears; it counts once `applied` has reached that number. Whoever
    writes counts does so only where `applied` and `recounts` are as it read them.
    """

    id = Key()
    name = models.CharField(max_length=20, unique=True)
    applied = models.BigIntegerField(default=0)
    recounts = models.BigIntegerField(default=0)  # how often a recount has corrected them
    counts = models.JSONField(default=dict)

    class Meta:
        db_table = "counters"
        indexes = [models.Index(fields=["name"], name="counters_name")]

    def __str__(self) -> str:
        return self.name


class AuditState(models.Model):
    """One row: what the audit found, and how far it has come.

    Shape of last: {"looked_at": {"records": 500}, "repaired": {"data without record": 1}}, the last run's; repaired:
    {"data without record": 2}, in all; cursors: {"healthdata": "<key>"}; recount: integrity.counters.Recount.
    """

    id = Key()
    name = models.CharField(max_length=20, unique=True)
    version = models.BigIntegerField(default=0)  # grows with every run that is stored
    ran_at = models.DateTimeField(default=NEVER)
    repaired_at = models.DateTimeField(default=NEVER)
    last = models.JSONField(default=dict)
    repaired = models.JSONField(default=dict)
    cursors = models.JSONField(default=dict)
    recount = models.JSONField(default=dict)

    class Meta:
        db_table = "auditstates"
        verbose_name = "audit"
        indexes = [models.Index(fields=["name"], name="audit_name")]

    def __str__(self) -> str:
        return self.name


class HourStat(models.Model):
    """Attempts of one hour, rolled up for charts. Shape of durations: {"100": 3, "1000": 1}, upper bounds in ms."""

    id = Key()
    hour = models.DateTimeField()
    partner = models.CharField(max_length=40)
    data_type = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16)
    error_class = models.CharField(max_length=20, default="", blank=True)
    count = models.IntegerField(default=0)
    durations = models.JSONField(default=dict)

    class Meta:
        db_table = "hourstats"
        verbose_name = "hour's statistics"
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "partner", "data_type", "outcome", "error_class"], name="hourstat_once"
            )
        ]
        indexes = [models.Index(fields=["hour", "partner"], name="hourstat_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.partner} {self.outcome}"
