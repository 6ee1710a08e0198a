"""Sending a record under a new name: what helps when somebody else registered its URL."""

from __future__ import annotations

from dataunion import roster
from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.reports import report_sync
from dataunion.state import Status
from partners.errors import MisconfiguredError


class NotRenamableError(ValueError):
    """The record cannot be sent under a new name; the message says why."""


def send_under_new_name(record: DataUnion) -> list[str]:
    """Store the record's object under a new name, and have those who need its URL begin anew with that.

    For a URL that somebody else registered. Returns the partners that got work; the caller nudges.
    Raises NotRenamableError when nobody stores it under a name, or its present name is registered by us.
    """
    storing, waiting = _find_concerned(record)
    for name, keys in storing.items():
        kept = {k: v for k, v in record.retry_data(name).items() if k not in keys}
        report_sync(record=record, partner=name, is_synced=False, retry_data=kept)
    for name in waiting:
        report_sync(record=record, partner=name, is_synced=False, retry_data={})
    return [*storing, *waiting]


def is_renamable(record: DataUnion) -> bool:
    """Say whether the record can be sent under a new name now."""
    try:
        _find_concerned(record)
    except NotRenamableError:
        return False
    return True


def _find_concerned(record: DataUnion) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return who stores the record, with the keys of its name, and who waits for that. Raises NotRenamableError."""
    enrolled = [row for row in roster.find_partners() if row.name in record.partners]
    storing = {row.name: keys for row in enrolled if (keys := _name_keys(row))}
    waiting = [name for row in storing for name in roster.find_dependents(row) if name in record.partners]
    registered = [name for name in waiting if record.entry(name).is_synced]
    if not storing or registered:
        why = f"{', '.join(registered)} holds its present name" if registered else "no partner stores it under a name"
        raise NotRenamableError(f"This record cannot be sent under a new name: {why}.")
    quiet = [name for name in waiting if not _has_conflict(record, name)]
    if quiet:
        raise NotRenamableError(f"This record cannot be sent under a new name: {', '.join(quiet)} has no conflict.")
    return storing, waiting


def _has_conflict(record: DataUnion, partner: str) -> bool:
    """Say whether the partner gave up because the present name is another's; else it may yet register it."""
    return SyncJob.objects.filter(
        record_id=record.pk, partner=partner, status=Status.FAILED, error_class="conflict"
    ).exists()


def _name_keys(row: Partner) -> tuple[str, ...]:
    try:
        return roster.adapter_class(row).name_keys
    except MisconfiguredError:
        return ()
