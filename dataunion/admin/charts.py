"""Figures over time as Unfold's charts take them, and the same as rows of a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dataunion.admin.words import say_exactly
from dataunion.trends import Tally, Trends

_DAY = timedelta(days=1)
_COLOURS = ("blue", "orange", "green", "primary", "red")
_OPTIONS: dict[str, Any] = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {"legend": {"position": "bottom", "labels": {"boxHeight": 8, "boxWidth": 8}}},
}


def draw_outcomes(trends: Trends) -> dict[str, Any]:
    """Return the chart of all attempts by how they ended: one bar for each step."""
    steps = trends.all_partners() if trends.partners else [Tally() for _ in trends.starts]
    series = [
        ("Synced", "green-600", [step.synced for step in steps]),
        ("To be tried again", "orange-400", [step.later for step in steps]),
        ("Failed", "red-600", [step.failed for step in steps]),
    ]
    bars = [
        {"label": label, "data": data, "backgroundColor": f"var(--color-{colour})"} for label, colour, data in series
    ]
    return _draw(trends, bars, is_stacked=True)


def draw_throughput(trends: Trends, partners: Sequence[str]) -> dict[str, Any]:
    """Return the chart of synced records: one line for each partner."""
    lines = [
        {
            "label": partner,
            "data": [step.synced for step in trends.steps(partner)],
            "borderColor": f"var(--color-{_COLOURS[n % len(_COLOURS)]}-500)",
            "backgroundColor": f"var(--color-{_COLOURS[n % len(_COLOURS)]}-500)",
            "borderWidth": 2,
            "borderDash": [] if n < len(_COLOURS) else [4, 4],
            "pointRadius": 2,
        }
        for n, partner in enumerate(partners)
    ]
    return _draw(trends, lines, is_stacked=False)


def _draw(trends: Trends, datasets: list[dict[str, Any]], *, is_stacked: bool) -> dict[str, Any]:
    """Return what the chart and its table need."""
    is_daily = trends.starts[1] - trends.starts[0] >= _DAY
    names = [name_step(start, is_daily=is_daily) for start in trends.starts]
    axis = {
        "stacked": is_stacked,
        "grid": {"display": False},
        "ticks": {"maxRotation": 0, "autoSkipPadding": 12},
        "title": {"display": True, "text": "UTC"},
    }
    scales = {"x": axis, "y": {"stacked": is_stacked, "beginAtZero": True, "grid": {}, "ticks": {"precision": 0}}}
    # Days are those of UTC and keep their names; hours are told in the reader's zone by the page's script.
    times = [] if is_daily else [start.isoformat() for start in trends.starts]
    rows = [
        {"at": start, "name": name, "exact": say_exactly(start), "values": [series["data"][n] for series in datasets]}
        for n, (start, name) in enumerate(zip(trends.starts, names, strict=True))
    ]
    return {
        "data": json.dumps({"labels": names, "times": times, "datasets": datasets}),
        "options": json.dumps(_OPTIONS | {"scales": scales}),
        "series": [series["label"] for series in datasets],
        "rows": rows[::-1],
        "total": sum(sum(series["data"]) for series in datasets),
    }


def name_step(start: datetime, *, is_daily: bool) -> str:
    """Return the name of a step: "28 Nov", or "14:05 UTC"."""
    at = start.astimezone(UTC)
    return f"{at.day} {at:%b}" if is_daily else f"{at:%H:%M} UTC"


def say_bound(milliseconds: float | None) -> str:
    """Return "at most 300 ms", "more than 100 s"; a dash when nothing was measured."""
    if milliseconds is None:
        return "—"
    if milliseconds == math.inf:
        return "more than 100 s"
    whole = int(milliseconds)
    return f"at most {whole} ms" if whole < 1000 else f"at most {whole // 1000} s"


def say_rate(per_hour: float) -> str:
    """Return "1,200", "3.5", "0"."""
    return f"{per_hour:,.0f}" if per_hour >= 10 or per_hour == 0 else f"{per_hour:.1f}"
