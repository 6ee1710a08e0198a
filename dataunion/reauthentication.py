"""Asking signed-in staff for their password again, before what must not happen at a screen that was left open.

Wrong answers stand in Django's log, which all processes see, and are counted there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dataunion import conduct
from dataunion.models import User

AT_MOST, WITHIN = 5, timedelta(minutes=15)
WRONG = "Gave a wrong password"


class PasswordRefusedError(Exception):
    """The password is not taken; the message says why and what to do."""


def require_password(user: User, password: str, now: datetime) -> None:
    """Take the user's own password, or raise PasswordRefusedError and count it."""
    if not user.has_usable_password():
        raise PasswordRefusedError("You have no password yet. Set one first, then come back.")
    if conduct.count(user, WRONG, since=now - WITHIN) >= AT_MOST:
        minutes = int(WITHIN.total_seconds() // 60)
        raise PasswordRefusedError(f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
    if not user.check_password(password):
        conduct.note(user, WRONG, now)
        raise PasswordRefusedError("This is not your password. Nothing was exported; try again.")
