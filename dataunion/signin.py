"""One-time links for staff, to sign in or to choose a new password: good for a day, dead after their first use."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import base36_to_int, urlsafe_base64_decode, urlsafe_base64_encode

from dataunion import conduct
from dataunion.models import User

VALID_FOR = timedelta(days=1)
VALID_HOURS = VALID_FOR // timedelta(hours=1)
RESETS_AT_MOST, RESETS_WITHIN = 3, timedelta(hours=1)  # links for a new password that one person is mailed
MAILED = "Was mailed a link for a new password, which somebody asked for"


class LinkTokens(PasswordResetTokenGenerator):
    """Tokens that end with the next sign-in, a new password, or the day."""

    key_salt = "dataunion.signin.LinkTokens"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        # To the millisecond, unlike Django's own: two sign-ins may fall into one second.
        last = user.last_login.isoformat(timespec="milliseconds") if user.last_login else "never"
        return f"{user.pk}|{user.password}|{last}|{timestamp}"

    def check_token(self, user: User | None, token: str | None) -> bool:
        """Say whether the token is good for this person now."""
        if not super().check_token(user, token) or token is None:
            return False
        made_s = base36_to_int(token.partition("-")[0])
        return self._num_seconds(self._now()) - made_s <= VALID_FOR.total_seconds()


class ResetTokens(LinkTokens):
    """Tokens that open the form for a new password and nothing else."""

    key_salt = "dataunion.signin.ResetTokens"


tokens, reset_tokens = LinkTokens(), ResetTokens()


def make_link(user: User) -> str:
    """Return an address that signs this person in once."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    base: str = settings.BASE_URL
    return base.rstrip("/") + reverse("sign_in", args=[uid, tokens.make_token(user)])


def find_person(uid: str, token: str) -> User | None:
    """Return whom the link signs in; None for a link that is used, too old or made up."""
    try:
        pk = urlsafe_base64_decode(uid).decode()
        user = User.objects.filter(pk=pk, is_active=True, is_staff=True).first()
    except (ValueError, ValidationError):  # not base64, not text, not a key
        return None
    return user if user is not None and tokens.check_token(user, token) else None


def admit_reset(user: User, now: datetime) -> bool:
    """Write down that this person is mailed a link for a new password; False, and nothing, where it was too often.

    It stands in Django's log, which all processes see, and is counted there: anybody may ask for anybody's.
    """
    if conduct.count(user, MAILED, since=now - RESETS_WITHIN) >= RESETS_AT_MOST:
        return False
    conduct.note(user, MAILED, now)
    return True


def use_up(user: User, now: datetime | None = None) -> bool:
    """End all links of this person; say whether nobody else was faster."""
    same = User.objects.filter(pk=user.pk, last_login=user.last_login)
    return same.update(last_login=now or timezone.now()) == 1
