"""Finding by what staff paste: a record's id, a user hash, a data id, or a name by which a partner knows a record."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dataunion.models import DataUnion, RemoteRef, SyncJob

MOST = 500  # records that one name may mean; a data id belongs to many users perhaps
_REF_CHARS = 200  # of a reference that are kept


def as_uuid(text: str) -> UUID | None:
    """Return the id that a person typed or pasted, or None."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def is_address(term: str) -> bool:
    """Say whether this is an e-mail address, which is stored nowhere here."""
    return "@" in term


def narrow_jobs(term: str) -> dict[str, Any]:
    """Return what narrows open work to what the whole term means; plain JSON, so that a retry run can hold it.

    By the first of these that finds something: each is indexed, parts of words are not.
    """
    term = term.strip()
    if not term:
        return {}
    if is_address(term):
        return {"record_id__in": []}
    pk = as_uuid(term)
    if pk and (DataUnion.objects.filter(pk=pk).exists() or SyncJob.objects.filter(record_id=pk).exists()):
        return {"record_id": str(pk)}
    if not DataUnion.objects.filter(user_hash=term).exists():
        found = _find_by_name(term)
        if found:
            return {"record_id__in": [str(pk) for pk in found]}
    return {"user_hash": term}


def narrow_records(term: str) -> dict[str, Any]:
    """Return the same for records."""
    return {name.replace("record_id", "pk"): value for name, value in narrow_jobs(term).items()}


def _find_by_name(term: str) -> list[UUID]:
    refs = RemoteRef.objects.filter(value=term[:_REF_CHARS])
    named = list(dict.fromkeys(refs.values_list("record_id", flat=True)[:MOST]))
    if named:
        return named
    return list(DataUnion.objects.filter(data_id=term).order_by("-pk").values_list("pk", flat=True)[:MOST])
