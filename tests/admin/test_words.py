"""Times in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dataunion.admin.words import cut, say_duration, say_when, show_when
from dataunion.models import NEVER
from dataunion.wording import say_count

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "now"), (1, "in 1 second"), (200, "in 3 minutes"), (-7300, "2 hours ago"), (-90_000, "1 day ago")],
)
def test_a_time_is_told_from_now(seconds: float, words: str) -> None:
    assert say_when(NOW + timedelta(seconds=seconds), NOW) == words


def test_the_exact_time_is_shown_on_hover() -> None:
    shown = show_when(NOW - timedelta(hours=1), NOW)

    assert 'title="2026-01-02 02:04:05 UTC"' in shown
    assert ">1 hour ago<" in shown


@pytest.mark.parametrize("at", [None, NEVER])
def test_never_is_a_dash(at: datetime | None) -> None:
    assert show_when(at, NOW) == "—"


def test_numbers_have_their_unit() -> None:
    assert [say_count(n, "job") for n in (0, 1, 2000)] == ["0 jobs", "1 job", "2,000 jobs"]
    assert [say_duration(ms) for ms in (999, 1400, 61_000)] == ["999 ms", "1.4 s", "1 minute"]


def test_a_long_text_is_cut() -> None:
    assert (cut("x" * 5, 5), cut("abc def", 5)) == ("xxxxx", "abc…")
