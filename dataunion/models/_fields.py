"""The key that every table of ours has."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import uuid6
from django.db import models


def uuid7() -> UUID:
    """Return a new UUIDv7: time-ordered, so that new rows stand together in the index."""
    return UUID(int=uuid6.uuid7().int)


def Key(**options: Any) -> models.UUIDField[UUID, UUID]:  # noqa: N802 - reads as a field
    """Make the primary key. Without the column name `_id` MongoDB cannot use the key's index."""
    return models.UUIDField(primary_key=True, default=uuid7, db_column="_id", editable=False, **options)
