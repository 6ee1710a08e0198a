"""Asking signed-in staff for their password again, before what must not happen at a screen that was left open.

Wrong answers stand in Django's log, which all processes see, and are counted there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType

from dataunion.models import User

AT_MOST, WITHIN = 5, timedelta(minutes=15)
WRONG = "Gave a wrong password"


class PasswordRefusedError(Exception):
    """The password is not taken; the message says why and what to do."""


def require_password(user: User, password: str, now: datetime) -> None:
    """Take the user's own password, or raise PasswordRefusedError and count it."""
    if not user.has_usable_password():
        raise PasswordRefusedError("You have no password yet. Set one first, then come back.")
    wrong = LogEntry.objects.filter(user_id=user.pk, change_message=WRONG, action_time__gt=now - WITHIN)
    if wrong.count() >= AT_MOST:
        minutes = int(WITHIN.total_seconds() // 60)
        raise PasswordRefusedError(f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
    if not user.check_password(password):
        LogEntry.objects.create(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(User),
            object_id=str(user.pk),
            object_repr=str(user)[:200],
            action_flag=CHANGE,
            change_message=WRONG,
            action_time=now,
        )
        raise PasswordRefusedError("This is not your password. Nothing was exported; try again.")
