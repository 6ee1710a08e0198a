"""What staff did, or was done for them, too often: counted where it is noted, in Django's log, for all processes."""

from __future__ import annotations

from datetime import datetime

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType

from dataunion.models import User


def count(user: User, what: str, *, since: datetime) -> int:
    """Return how often it was noted since then, in these very words."""
    return LogEntry.objects.filter(user_id=user.pk, change_message=what, action_time__gt=since).count()


def note(user: User, what: str, now: datetime) -> None:
    """Write it down."""
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr=str(user)[:200],
        action_flag=CHANGE,
        change_message=what,
        action_time=now,
    )
