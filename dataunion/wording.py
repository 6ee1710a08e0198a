"""What statuses, error classes, steps and filters are called where people read them, in names of rows too. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = {
    "partner": "partner {}",
    "data_type": "type {}",
    "status": "status {}",
    "step": "step {}",
    "step__in": "at its first step",
    "error_class": "error {}",
    "cause": "message “{}”",
    "run": "reopened by retry run {}",
    "attempts": "attempts {}",
    "attempts__gte": "attempts {} or more",
    "attempts__lte": "attempts {} or fewer",
    "user_hash": "user {}",
    "record_id": "record {}",
    "record_id__in": "{} found by a name",
    "created_at__lte": "open since before {}",
    "changed_at__gte": "changed since {}",
    "error_classes": "error {}",
}
_CLASSES = {  # of errors, and how attempts end
    "transient": "busy or no answer",
    "limited": "asked us to wait",
    "unknown": "no clear answer",
    "unknown_outcome": "no clear answer",
    "misconfigured": "settings refused",
    "permanent": "refused",
    "internal": "fault of DataUnion",
    "crashed": "worker died",
    "poison": "two workers died",
    "damaged": "stored data damaged",
    "changed": "data was changed",
    "conflict": "name is taken",
    "validation": "record not valid",
    "proof": "proof not accepted",
    "refinement": "not refined",
    "spoilt": "stored wrongly",
    "nonsense": "answer makes no sense",
}
_STATUSES = {"pending": "waiting", "running": "being sent", "retrying": "trying again", "withdrawn": "taken back"}


def say_status(status: str) -> str:
    """Return the status of a record's work, or its state at a partner, as people say it."""
    return _STATUSES.get(status, status)


def say_class(error_class: str) -> str:
    """Return what an error class or an outcome means, in two or three words; an unknown one as it is."""
    return _CLASSES.get(error_class, error_class.replace("_", " ")) or "no class"


def say_step(step: str) -> str:
    """Return the name of a step as people write it."""
    return step.replace("_", " ")


def say_count(number: int, thing: str) -> str:
    """Return "1 job", "2,000 jobs"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def say_filter(wanted: Mapping[str, Any]) -> str:
    """Return what a retry run's filter means."""
    if wanted.get("ids"):
        return say_count(len(wanted["ids"].split(",")), "selected job")
    parts = [
        _FIELDS.get(name, name + " {}").format(_say_value(name, value))
        for name, value in wanted.items()
        if value not in (None, "")
    ]
    return ", ".join(parts) or "everything"


def _say_value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return say_count(len(value), "record")
    if name == "error_classes":
        return ", ".join(map(say_class, value.split(",")))
    say = {"error_class": say_class, "status": say_status, "step": say_step}.get(name, str)
    return say(value)
