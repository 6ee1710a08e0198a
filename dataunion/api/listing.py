"""Lists in pages by cursor, newest first; no page counts, and none costs more than its bound."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from dataunion import roster
from dataunion.api.inputs import FAILING, PAGE, SYNCED
from dataunion.models import DataUnion, SyncJob
from dataunion.state import FAILING as FAILING_STATUSES

SCANNED = 5000  # records that one page of a search by a JSON value looks at

_Row = TypeVar("_Row", bound=Model)


def page(rows: QuerySet[_Row], *, limit: int = PAGE, cursor: UUID | None = None) -> tuple[list[_Row], UUID | None]:
    """Return rows older than `cursor` and the next cursor. Our ids grow with time, so they are the order."""
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)
    found = list(rows.order_by("-pk")[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


def find_records(
    *,
    user_hash: str | None = None,
    data_type: str | None = None,
    partner: str | None = None,
    status: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    limit: int = PAGE,
    cursor: UUID | None = None,
) -> tuple[list[DataUnion], UUID | None]:
    """Return a page of records. Raises roster.UnknownPartnerError.

    A page of synced records may be short, or empty, and still have a next cursor: it looks at SCANNED records.
    """
    wanted: dict[str, Any] = {"user_hash": user_hash, "data_type": data_type}
    times = {"created_at__gte": created_after, "created_at__lt": created_before}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    times = {name: value for name, value in times.items() if value is not None}
    if partner is None or status is None:
        return page(DataUnion.objects.filter(**wanted, **times), limit=limit, cursor=cursor)
    roster.get_partner(partner)
    if status == SYNCED:
        return _find_synced(DataUnion.objects.filter(**wanted, **times), partner, limit, cursor)
    statuses = FAILING_STATUSES if status == FAILING else (status,)
    jobs = SyncJob.objects.filter(partner=partner, status__in=statuses, **wanted)
    jobs = jobs.filter(**{f"record__{name}": value for name, value in times.items()})
    return _find_by_jobs(jobs, limit, cursor)


def _find_by_jobs(jobs: QuerySet[SyncJob], limit: int, cursor: UUID | None) -> tuple[list[DataUnion], UUID | None]:
    """Go by open work: what it costs is the number of jobs, not of records."""
    if cursor is not None:
        jobs = jobs.filter(record_id__lt=cursor)
    ids = list(jobs.order_by("-record_id").values_list("record_id", flat=True)[: limit + 1])
    found = DataUnion.objects.in_bulk(ids[:limit])
    next_cursor = ids[limit - 1] if len(ids) > limit else None
    return [found[pk] for pk in ids[:limit] if pk in found], next_cursor


def _find_synced(
    rows: QuerySet[DataUnion], partner: str, limit: int, cursor: UUID | None
) -> tuple[list[DataUnion], UUID | None]:
    """Look at the next SCANNED records only, since no index helps to find a value inside JSON."""
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)
    end = rows.order_by("-pk").values_list("pk", flat=True)[SCANNED : SCANNED + 1].first()
    near = rows if end is None else rows.filter(pk__gt=end)
    found = list(near.filter(**{f"partners__{partner}__is_synced": True}).order_by("-pk")[: limit + 1])
    if len(found) > limit:
        return found[:limit], found[limit - 1].pk
    if end is None:
        return found, None
    return found, rows.filter(pk__gt=end).order_by("pk").values_list("pk", flat=True).first()
