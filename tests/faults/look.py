"""Reads what is stored of every pair, as the model speaks of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dataunion import vault
from dataunion.models import NEVER, DataUnion, SyncAttempt, SyncJob
from dataunion.state import PartnerEntry
from tests.faults.model import Outcome, Pair

Key = tuple[UUID, str]  # record, partner


def read_pairs() -> dict[Key, Pair]:
    """Return every pair as it is stored."""
    entries = {
        (pk, name): PartnerEntry.parse(entry)
        for pk, partners in DataUnion.objects.values_list("pk", "partners")
        for name, entry in partners.items()
    }
    jobs = {(job.record_id, job.partner): job for job in SyncJob.objects.all()}
    history: dict[Key, list[tuple[int, int]]] = {}
    for record, partner, fence, number in SyncAttempt.objects.values_list("record_id", "partner", "fence", "number"):
        history.setdefault((record, partner), []).append((fence, number))
    return {key: _pair(key, jobs.get(key), entries.get(key), history.get(key, [])) for key in jobs | entries}


def _pair(key: Key, job: SyncJob | None, entry: PartnerEntry | None, history: list[tuple[int, int]]) -> Pair:
    facts: dict[str, Any] = {"has_record": entry is not None, "history": tuple(sorted(history))}
    if entry is not None:
        sealed = vault.from_text(entry.retry_data) if entry.retry_data else None
        facts.update(is_synced=entry.is_synced, entry_fence=entry.fence, entry_runs=entry.attempts)
        facts.update(entry_error=bool(entry.error_message), kept=_marker(key, sealed))
    if job is not None:
        same = ("status", "step", "fence", "attempts", "runs", "crashes", "due_at", "lease_until", "changed_at")
        facts.update({name: getattr(job, name) for name in same})
        facts.update(token=job.lease_token, is_held=job.lease_until > NEVER, has_error=bool(job.error_message))
        facts.update(saved=_marker(key, job.saved), outcome=_outcome(job.outcome))
    return Pair(**facts)


def _marker(key: Key, sealed: bytes | None) -> int | None:
    found: dict[str, Any] = vault.open_json(sealed, "sync", *key)
    return found.get("marker")


def _outcome(stored: dict[str, Any] | None) -> Outcome | None:
    if stored is None:
        return None
    entry, facts = stored["entry"], stored["attempt"]
    return Outcome(
        is_synced=entry["is_synced"],
        has_error=bool(entry.get("error_message")),
        number=facts["number"] if facts else None,
    )
