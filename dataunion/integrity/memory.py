"""What an audit leaves for the next one and for people: how far it came, what it found; one row."""

from __future__ import annotations

from collections import Counter

from django.db import IntegrityError, transaction

from dataunion.integrity.findings import Findings
from dataunion.models import AuditState

_RACES = 20


def read() -> AuditState:
    """Return the row; made where there is none."""
    row = AuditState.objects.filter(name="audit").first()
    if row is None:
        try:
            with transaction.atomic():
                return AuditState.objects.create(name="audit")
        except IntegrityError:
            return AuditState.objects.get(name="audit")
    return row


def store(found: Findings, row: AuditState | None = None) -> None:
    """Add what was found to the row; with `row`, as it was read, also how far it came, unless another run was faster.

    A crash before this loses the counts of one run; each repair stands in the log.
    """
    for _ in range(_RACES):
        fresh = read()
        changes: dict[str, object] = {
            "version": fresh.version + 1,
            "ran_at": found.now,
            "last": {"looked_at": dict(found.looked_at), "repaired": dict(found.repaired)},
        }
        if found.repaired:
            changes["repaired"] = dict(Counter(fresh.repaired) + found.repaired)
            changes["repaired_at"] = found.now
        if row is not None and row.version == fresh.version:
            changes.update(cursors=row.cursors, recount=row.recount)
        if AuditState.objects.filter(pk=fresh.pk, version=fresh.version).update(**changes):
            return
