"""The database's clock, read once a claim, renewal or tick and passed on as a value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, connection
from django.utils.dateparse import parse_datetime
from pymongo.errors import PyMongoError


def db_now() -> datetime:
    """Return the database's time: aware UTC, in whole milliseconds (all that MongoDB keeps). Raises DatabaseError."""
    now = _mongodb_now() if connection.vendor == "mongodb" else _sql_now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _mongodb_now() -> datetime:
    database: Any = connection.database  # type: ignore[attr-defined]
    try:
        local: datetime = database.command("hello")["localTime"]
    except PyMongoError as error:
        raise DatabaseError from error  # as the backend does for what goes through the ORM
    return local if local.tzinfo else local.replace(tzinfo=UTC)


def _sql_now() -> datetime:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
            parsed = parse_datetime(cursor.fetchone()[0])
            if parsed is None:
                raise ValueError("SQLite's clock gave no time")
            return parsed.replace(tzinfo=UTC)
        cursor.execute("SELECT clock_timestamp()")
        value: datetime = cursor.fetchone()[0]
        return value.astimezone(UTC)
