"""What a check found: a level, a sentence, and what to do. Nothing secret stands in either."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    check: str
    level: Level
    said: str
    remedy: str = ""


def ok(check: str, said: str) -> Finding:
    """Say that all is well."""
    return Finding(check, Level.OK, said)


def warning(check: str, said: str, remedy: str) -> Finding:
    """Say what somebody should look at."""
    return Finding(check, Level.WARNING, said, remedy)


def problem(check: str, said: str, remedy: str) -> Finding:
    """Say what does not work."""
    return Finding(check, Level.PROBLEM, said, remedy)


def show_s(seconds: float) -> str:
    """Return a duration as people say it."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
