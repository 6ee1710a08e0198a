"""Backfill: older records that a partner is given after it was switched on."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.utils import timezone

from dataunion.models._fields import Key
from dataunion.state import RunState

FIRST_KEY = UUID(int=0)


class Backfill(models.Model):
    """A walk over the records in the order of their keys. Records up to `cursor` are done with, up to `page` in work.

    `enrolled` is what it enrolled up to the cursor, by data type: {"health": 12}; the counters know nothing of it.
    `open_for` holds the partner's name until the last page is closed, so that there is one at a time.
    """

    id = Key()
    partner = models.CharField(max_length=40)
    open_for = models.CharField(max_length=40, null=True, unique=True)
    asked_by = models.CharField(max_length=150)
    state = models.CharField(max_length=10, default=RunState.RUNNING)
    about = models.IntegerField(default=0)  # how many records lacked the partner when it was asked for
    per_minute = models.IntegerField(default=600)
    cursor = models.UUIDField(default=FIRST_KEY)
    page = models.UUIDField(default=FIRST_KEY)
    until = models.UUIDField()
    looked_at = models.IntegerField(default=0)
    enrolled = models.JSONField(default=dict)
    paced_at = models.DateTimeField(default=timezone.now)  # up to when the pace is used up
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "backfills"
        indexes = [
            models.Index(fields=["open_for"], name="backfill_open"),
            models.Index(fields=["created_at"], name="backfill_at"),
        ]

    def __str__(self) -> str:
        return f"Older records for {self.partner}, asked for by {self.asked_by}"

    @property
    def done(self) -> int:
        """Return how many records it has enrolled."""
        return sum(self.enrolled.values())
