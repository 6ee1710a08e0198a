"""The database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dataunion.clock import db_now

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_clock_gives_aware_utc_in_whole_milliseconds() -> None:
    now = db_now()

    assert now.tzinfo == UTC
    assert now.microsecond % 1000 == 0
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_clock_does_not_go_back() -> None:
    times = [db_now() for _ in range(50)]

    assert times == sorted(times)
