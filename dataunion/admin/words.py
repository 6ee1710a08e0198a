"""Times in words, and texts cut short. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dataunion.models import NEVER
from dataunion.wording import say_count

WIDE = "min-width: min(12rem, 50vw)"  # of a column that holds a sentence
TWO_LINES = '<span class="block whitespace-nowrap">{}</span><span class="block text-subtle whitespace-nowrap">{}</span>'
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def say_span(seconds: float) -> str:
    """Return a span in its largest unit: "3 minutes"."""
    whole = max(0, int(seconds))
    size, unit = next(((size, unit) for size, unit in _UNITS if whole >= size), (1, "second"))
    return say_count(whole // size, unit)


def say_when(at: datetime, now: datetime) -> str:
    """Return "in 3 minutes", "2 hours ago" or "now"."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {say_span(seconds)}" if seconds > 0 else f"{say_span(-seconds)} ago"


def say_exactly(at: datetime) -> str:
    """Return the time in UTC to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def show_when(at: datetime | None, now: datetime) -> SafeString | str:
    """Return a time in words, the exact one on hover; a dash for never."""
    if at is None or at <= NEVER:
        return "—"
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>',
        at.astimezone(UTC).isoformat(),
        say_exactly(at),
        say_when(at, now),
    )


def say_duration(milliseconds: int) -> str:
    """Return "120 ms", "1.4 s" or "3 minutes"."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else say_span(milliseconds / 1000)


def cut(text: str, length: int = 120) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
