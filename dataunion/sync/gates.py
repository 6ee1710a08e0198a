"""Why not now: what other rooms (consent, quality) may say before a record is sent. Named in DATAUNION_SYNC_GATES."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string

from dataunion.models import DataUnion

Gate = Callable[[DataUnion, str], str | None]


def find_refusal(record: DataUnion, partner: str) -> str | None:
    """Return the first gate's reason against sending this record to this partner, or None."""
    for path in settings.DATAUNION_SYNC_GATES:
        gate: Gate = import_string(path)
        reason = gate(record, partner)
        if reason:
            return reason
    return None


def are_there() -> bool:
    """Say whether any gate is set up."""
    return bool(settings.DATAUNION_SYNC_GATES)
