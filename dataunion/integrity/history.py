"""What a sync leaves beside the entry: its attempts without gaps, and the names by which the partner knows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Model

from dataunion import roster, vault
from dataunion.integrity.findings import Findings, Kind
from dataunion.models import NEVER, DataUnion, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import Outcome, PartnerEntry
from partners.base import Item

_SETTLED = timedelta(minutes=2)
_Pair = tuple[UUID, str]
_History = Mapping[int, tuple[int, str]]  # number: (fence, outcome)


def check_history(found: Findings, records: Sequence[DataUnion]) -> None:
    """Look for attempts and references that the entries of these records speak of, and that are not there."""
    records = [record for record in records if record.created_at < found.now - _SETTLED]
    ids = [record.pk for record in records]
    # In this order: what is published meanwhile is then either in hand, or there.
    held = set(SyncJob.objects.filter(record_id__in=ids, lease_until__gt=NEVER).values_list("record_id", "partner"))
    histories = _read_histories(ids)
    named = set(RemoteRef.objects.filter(record_id__in=ids).values_list("record_id", "partner"))
    known = {row.name for row in roster.find_partners()}
    for record in records:
        for name in set(record.partners) & known:
            pair = (record.pk, name)
            if pair not in held and histories[pair]:
                found.looked_at["histories"] += 1
                _check_numbers(found, record, name, histories[pair])
                if pair not in named:
                    _check_references(found, record, name, histories[pair])


def _read_histories(ids: Sequence[UUID]) -> Mapping[_Pair, dict[int, tuple[int, str]]]:
    histories: dict[_Pair, dict[int, tuple[int, str]]] = defaultdict(dict)
    rows = SyncAttempt.objects.filter(record_id__in=ids)
    for pk, name, number, fence, outcome in rows.values_list("record_id", "partner", "number", "fence", "outcome"):
        histories[pk, name][number] = (fence, outcome)
    return histories


# --- attempts


def _check_numbers(found: Findings, record: DataUnion, name: str, history: _History) -> None:
    """Fill gaps after the oldest attempt that is kept: what was before it has been pruned."""
    entry = record.entry(name)
    for number, fence in _find_gaps(entry, history):
        lost = partial(_note_lost, record, name, number, fence, found.now)
        found.mend(Kind.ATTEMPT, lost, record=record.pk, partner=name, number=number)


def _find_gaps(entry: PartnerEntry, history: _History) -> Iterator[tuple[int, int]]:
    """Yield each missing number with a fence between its neighbours': each attempt had a claim of its own."""
    last = min(history)
    fence = history[last][0]
    for number in range(last + 1, max(entry.attempts, max(history)) + 1):
        if number in history:
            fence = history[number][0]
            continue
        following = next((history[n][0] for n in sorted(history) if n > number), entry.fence + 1)
        if fence + 1 < following:
            fence += 1
            yield number, fence


def _note_lost(record: DataUnion, name: str, number: int, fence: int, now: datetime) -> bool:
    attempt = SyncAttempt(
        record_id=record.pk,
        partner=name,
        data_type=record.data_type,
        number=number,
        fence=fence,
        started_at=now,
        duration_ms=0,
        outcome=Outcome.CRASHED,
        error_class="lost",
        error_message="Nothing was kept of this attempt but its number.",
        trigger="audit",
    )
    return _insert(attempt)


# --- references


def _check_references(found: Findings, record: DataUnion, name: str, history: _History) -> None:
    """Make the references again of what we synced ourselves; word from outside brings none."""
    entry = record.entry(name)
    ours = any(fence == entry.fence and outcome == Outcome.SYNCED for fence, outcome in history.values())
    if not (entry.is_synced and ours):
        return
    refs = _find_references(record, name, entry)
    if refs:
        found.mend(Kind.REFERENCE, lambda: [_insert(ref) for ref in refs], record=record.pk, partner=name)


def _find_references(record: DataUnion, name: str, entry: PartnerEntry) -> list[RemoteRef]:
    """Return what the adapter makes of the entry; nothing where it cannot."""
    try:
        sealed = vault.from_text(entry.retry_data) if entry.retry_data else None
        item = Item(
            record_id=str(record.pk),
            partner=name,
            user_hash=record.user_hash,
            data_type=record.data_type,
            data_id=record.data_id,
            saved={**entry.receipt, **vault.open_json(sealed, "sync", record.pk, name)},
        )
        pairs = list(roster.get_adapter(roster.get_partner(name)).refs(item))
    except Exception:  # a key that is missing, a partner that is misconfigured: not this audit's business
        return []
    return [RemoteRef(record_id=record.pk, partner=name, kind=kind, value=value[:200]) for kind, value in pairs]


def _insert(row: Model) -> bool:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return False
    return True
