"""What staff are told of: incidents, and the messages about them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from dataunion.models._fields import Key
from dataunion.state import IncidentState, NoticeState


class Incident(models.Model):
    """Something that was wrong from one time to another. `slot` is free for the next one once it is over."""

    id = Key()
    rule = models.CharField(max_length=10)
    subject = models.CharField(max_length=100, default="", blank=True)  # a partner's name, a key's prefix
    slot = models.CharField(max_length=160, unique=True)
    state = models.CharField(max_length=10, default=IncidentState.OPEN)
    said = models.CharField(max_length=500)  # what was wrong when it was noticed
    opened_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)  # when it was wrong last
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "incidents"
        verbose_name = "alert"
        indexes = [
            models.Index(fields=["slot"], name="incident_slot"),
            models.Index(fields=["state"], name="incident_state"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".strip()


class Notice(models.Model):
    """One message to one place. Whoever raises `tries` from what was read may send it; see alerts.notices."""

    id = Key()
    once = models.CharField(max_length=80, unique=True)  # what it is about, and the channel
    incident = models.UUIDField(null=True)
    channel = models.CharField(max_length=10)
    title = models.CharField(max_length=200)
    body = models.TextField()
    link = models.CharField(max_length=500, default="", blank=True)
    state = models.CharField(max_length=10, default=NoticeState.WAITING)
    tries = models.IntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    problem = models.CharField(max_length=200, default="", blank=True)  # of the last try, cleaned
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "notices"
        indexes = [
            models.Index(fields=["once"], name="notice_once"),
            models.Index(fields=["state", "due_at"], name="notice_due"),
            models.Index(fields=["incident"], name="notice_incident"),
        ]

    def __str__(self) -> str:
        return self.once
