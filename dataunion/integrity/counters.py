"""The counters against the records: a recount page by page, exact while records pour in.

A record bears the number of the fold that counted it, for good. So the records that the counters held when the recount
began are those with a number up to `applied` of then, and their sum is what the counters should have said; what has
been folded since is added to both. A fold that stalled on MongoDB may number records that no fold counts any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict
from uuid import UUID

from dataunion import stats
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import Counters, DataUnion

_RACES = 20


class Recount(TypedDict):
    """A recount under way: how the counters stood, how far it has come, what it has summed up so far."""

    applied: int
    recounts: int
    said: dict[str, Any]
    after: str
    until: str
    counted: dict[str, Any]


def begin() -> Recount | None:
    """Note how the counters stand; None where there is nothing to count."""
    row = stats.read_counters()
    newest = DataUnion.objects.order_by("-pk").first()  # after the counters: what they hold is not newer
    if newest is None:
        return None
    nothing = {"records": 0, "enrolled": {}}
    return Recount(
        applied=row.applied,
        recounts=row.recounts,
        said=row.counts,
        after=str(UUID(int=0)),
        until=str(newest.pk),
        counted=nothing,
    )


def go_on(found: Findings, recount: Recount, limit: int) -> Recount | None:
    """Count one page more; at the end correct the counters if they are wrong, and return None."""
    rows = DataUnion.objects.filter(pk__gt=UUID(recount["after"]), pk__lte=UUID(recount["until"])).order_by("pk")
    page = list(rows.values_list("pk", "counted", "data_type", "partners")[:limit])
    ours = [(data_type, partners) for _, n, data_type, partners in page if 0 < n <= recount["applied"]]
    counted = stats.add_up(recount["counted"], ours)
    found.looked_at["records counted"] += len(page)
    if len(page) == limit:
        return Recount(**{**recount, "after": str(page[-1][0]), "counted": counted})
    drift = _subtract(counted, recount["said"])
    if drift:
        found.mend(Kind.COUNTERS, lambda: _correct(drift, recount["recounts"]), drift=_tell(drift))
    return None


_Cell = tuple[str, ...]  # ("records",) or (partner, data type)


def _cells(counts: Mapping[str, Any]) -> dict[_Cell, int]:
    enrolled = counts.get("enrolled", {})
    cells: dict[_Cell, int] = {(name, kind): n for name, kinds in enrolled.items() for kind, n in kinds.items()}
    return cells | {("records",): counts.get("records", 0)}


def _subtract(counted: Mapping[str, Any], said: Mapping[str, Any]) -> dict[_Cell, int]:
    right, wrong = _cells(counted), _cells(said)
    drift = {cell: right.get(cell, 0) - wrong.get(cell, 0) for cell in right | wrong}
    return {cell: n for cell, n in drift.items() if n}


def _tell(drift: Mapping[_Cell, int]) -> str:
    return ", ".join(f"{' '.join(cell)} {n:+d}" for cell, n in sorted(drift.items()))


def _correct(drift: Mapping[_Cell, int], recounts: int) -> bool:
    """Add what is missing to the counters as they are now, unless another recount has corrected them since."""
    for _ in range(_RACES):
        row = Counters.objects.get(name="ingest")
        same = Counters.objects.filter(pk=row.pk, applied=row.applied, recounts=recounts)
        if row.recounts != recounts:
            return False
        if same.update(counts=_add(row.counts, drift), recounts=recounts + 1):
            return True
    return False


def _add(counts: Mapping[str, Any], drift: Mapping[_Cell, int]) -> dict[str, Any]:
    cells = _cells(counts)
    right = {cell: cells.get(cell, 0) + drift.get(cell, 0) for cell in cells.keys() | drift.keys()}
    enrolled: dict[str, dict[str, int]] = {}
    for (name, *kinds), n in right.items():
        if kinds and n:
            enrolled.setdefault(name, {})[kinds[0]] = n
    return {"records": right["records",], "enrolled": enrolled}
