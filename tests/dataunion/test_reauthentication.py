"""The password that is asked again: taken, refused, counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from dataunion.reauthentication import AT_MOST, WITHIN, WRONG, PasswordRefusedError, require_password
from tests.factories import PASSWORD, AdminFactory

pytestmark = pytest.mark.django_db


def test_the_right_password_is_taken_and_leaves_no_trace() -> None:
    require_password(AdminFactory(), PASSWORD, timezone.now())

    assert LogEntry.objects.count() == 0


def test_a_wrong_password_is_refused_and_stands_in_the_log_without_itself() -> None:
    user = AdminFactory()

    with pytest.raises(PasswordRefusedError, match="not your password"):
        require_password(user, "plant", timezone.now())

    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.change_message, "plant" in str(vars(entry))) == (user.pk, WRONG, False)


def test_after_too_many_wrong_ones_the_right_one_waits_too() -> None:
    user, other, now = AdminFactory(), AdminFactory(), timezone.now()
    for _ in range(AT_MOST):
        with pytest.raises(PasswordRefusedError, match="not your password"):
            require_password(user, "wrong", now)

    with pytest.raises(PasswordRefusedError, match="Wait 15 minutes"):
        require_password(user, PASSWORD, now)
    require_password(other, PASSWORD, now)
    require_password(user, PASSWORD, now + WITHIN + timedelta(seconds=1))


def test_who_has_no_password_is_told_to_set_one() -> None:
    user = AdminFactory()
    user.set_unusable_password()

    with pytest.raises(PasswordRefusedError, match="Set one first"):
        require_password(user, "", timezone.now())
