"""Wrapping anew what is sealed, after a new key was put in front of the ring: page by page, by compare-and-set.

It may be stopped and run again: what the newest key wraps already is only looked at. What somebody writes meanwhile
is left alone, since it is newer than what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Model

from dataunion import vault
from dataunion.models import PAYLOADS, ChainTx, DataUnion, Partner, SyncJob
from dataunion.models.expressions import MergeEntry

_PAGE = 200


@dataclass
class Tally:
    """What became of one table so far. `problems` name rows, never what is in them."""

    table: str
    looked_at: int = 0
    rewrapped: int = 0
    problems: list[str] = field(default_factory=list)

    def rewrap(self, envelope: bytes, where: str, belongs_to: tuple[object, ...]) -> bytes | None:
        """Return the envelope under the newest key, or None where there is nothing to do."""
        if vault.is_newest(envelope):
            return None
        try:
            return vault.rewrap(envelope, *belongs_to)
        except vault.VaultError as error:
            self.problems.append(f"{where}: {error}")
            return None


Turn = Callable[[Tally, dict[str, Any]], None]  # wraps one row's envelopes
BelongsTo = Callable[[str, dict[str, Any]], tuple[object, ...]]


def rotate() -> Iterator[Tally]:
    """Go through every sealed column; yield each table's tally after every page of it."""
    for model, column, others, belongs_to in _columns():
        yield from _walk(model, (column, *others), partial(_turn_column, model, column, belongs_to))
    yield from _walk(DataUnion, ("partners",), _turn_entries)


def read_some(limit: int) -> Iterator[tuple[bytes, tuple[object, ...]]]:
    """Yield some envelopes of every sealed column, of the newest and the oldest rows, with what they belong to."""
    for model, column, others, belongs_to in _columns():
        for row in _ends(model, limit, column, *others):
            if row[column]:  # as in _turn_column
                yield bytes(row[column]), belongs_to(model._meta.db_table, row)
    for row in _ends(DataUnion, limit, "partners"):
        for partner, entry in row["partners"].items():
            if entry.get("retry_data") is not None:
                yield vault.from_text(entry["retry_data"]), ("sync", row["pk"], partner)


def _ends(model: type[Model], limit: int, *columns: str) -> list[dict[str, Any]]:
    rows = model._default_manager.values("pk", *columns)
    ends = [*rows.order_by("pk")[:limit], *rows.order_by("-pk")[:limit]]
    return list({row["pk"]: row for row in ends}.values())


def _columns() -> list[tuple[type[Model], str, tuple[str, ...], BelongsTo]]:
    """Return the sealed columns. Step results move from jobs to entries, so jobs come last, before the entries."""
    return [
        *((model, "payload", (), _of_row) for model in PAYLOADS.values()),
        (Partner, "secrets", (), _of_row),
        (ChainTx, "raw", ("record", "partner"), _of_tx),
        (SyncJob, "saved", ("record_id", "partner"), _of_job),
    ]


def _walk(model: type[Model], columns: tuple[str, ...], turn: Turn) -> Iterator[Tally]:
    tally, after = Tally(model._meta.db_table), UUID(int=0)
    while True:
        rows = list(model._default_manager.filter(pk__gt=after).order_by("pk").values("pk", *columns)[:_PAGE])
        for row in rows:
            turn(tally, row)
        tally.looked_at += len(rows)
        yield tally
        if len(rows) < _PAGE:
            return
        after = rows[-1]["pk"]


def _turn_column(
    model: type[Model],
    column: str,
    belongs_to: BelongsTo,
    tally: Tally,
    row: dict[str, Any],
) -> None:
    if not row[column]:  # nothing there, or data that is kept elsewhere
        return
    old = bytes(row[column])
    new = tally.rewrap(old, f"{tally.table} {row['pk']}", belongs_to(tally.table, row))
    if new is not None:
        tally.rewrapped += model._default_manager.filter(pk=row["pk"], **{column: old}).update(**{column: new})


def _turn_entries(tally: Tally, row: dict[str, Any]) -> None:
    for partner, entry in row["partners"].items():
        old = entry.get("retry_data")
        if old is None:
            continue
        envelope, where = vault.from_text(old), f"{tally.table} {row['pk']} {partner}"
        new = tally.rewrap(envelope, where, ("sync", row["pk"], partner))
        if new is not None:
            same = DataUnion.objects.filter(pk=row["pk"], **{f"partners__{partner}__retry_data": old})
            tally.rewrapped += same.update(partners=MergeEntry(partner, {"retry_data": vault.to_text(new)}))


def _of_row(table: str, row: dict[str, Any]) -> tuple[object, ...]:
    return table, row["pk"]


def _of_tx(table: str, row: dict[str, Any]) -> tuple[object, ...]:
    return table, row["record"], row["partner"]


def _of_job(table: str, row: dict[str, Any]) -> tuple[object, ...]:
    return "sync", row["record_id"], row["partner"]
