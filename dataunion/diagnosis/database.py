"""The database: which it is, whether it is migrated, what its clock says, whether there is room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.utils import NotSupportedError
from django.utils import timezone

from dataunion.clock import db_now
from dataunion.diagnosis import vitals
from dataunion.diagnosis.findings import Finding, ok, problem, warning

_SKEW_S, _BAD_SKEW_S = 5.0, 60.0
_GIB = 1 << 30
_ROOM_BYTES, _LAST_BYTES = _GIB, _GIB // 10


def look() -> Iterator[Finding]:
    """Ask the database about itself. Raises when it cannot be reached."""
    before = timezone.now()
    now = db_now()
    skew_s = _skew_s(before, now, timezone.now())
    yield _judge_server()
    yield judge_migrations(vitals.count_missing_migrations())
    yield judge_clock(skew_s)
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        yield judge_room(path.stat().st_size, shutil.disk_usage(path.parent).free)


def _skew_s(before: datetime, now: datetime, after: datetime) -> float:
    """Return how far the database's clock is ahead of ours, which may be anywhere between two readings."""
    return (now - before).total_seconds() if now < before else max(0.0, (now - after).total_seconds())


def _judge_server() -> Finding:
    try:
        connection.check_database_version_supported()
    except NotSupportedError as error:
        return problem("database", str(error), "upgrade the server")
    if connection.vendor == "mongodb":
        database: Any = connection.database  # type: ignore[attr-defined]
        return judge_mongodb(database.command("buildInfo"), database.command("hello"))
    version = ".".join(str(part) for part in connection.get_database_version())
    return ok("database", f"{connection.display_name} {version}, reachable")


def judge_mongodb(build: dict[str, Any], hello: dict[str, Any]) -> Finding:
    """Judge what a MongoDB server says of itself."""
    said = f"MongoDB {build['version']}, reachable"
    if hello.get("msg") == "isdbgrid":
        return ok("database", f"{said}, sharded")
    if "setName" in hello:
        members = len(hello.get("hosts", ()))
        return ok("database", f"{said}, replica set {hello['setName']} of {members}")
    return warning("database", f"{said}, standalone: there is no second copy", "make it a replica set of three")


def judge_migrations(missing: int) -> Finding:
    """Judge whether the tables are those of this version."""
    if missing:
        return problem("migrations", f"{missing} missing", "./run manage migrate")
    return ok("migrations", "all applied")


def judge_clock(skew_s: float) -> Finding:
    """Judge how far the clocks are apart."""
    said = f"the database's clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    remedy = "keep every machine's clock by NTP: leases, signatures of S3 and of webhooks go by it"
    if abs(skew_s) < _SKEW_S:
        return ok("clock", f"database and this machine agree to {max(0.1, abs(skew_s)):.1f} s")
    return problem("clock", said, remedy) if abs(skew_s) >= _BAD_SKEW_S else warning("clock", said, remedy)


def judge_room(size_bytes: int, free_bytes: int) -> Finding:
    """Judge the disk under an SQLite file: its log and a copy need room too."""
    said = f"the file has {size_bytes / _GIB:.2f} GiB, {free_bytes / _GIB:.1f} GiB are free"
    if free_bytes < _LAST_BYTES:
        return problem("disk", said, "make room now: a full disk refuses every write")
    if free_bytes < max(_ROOM_BYTES, size_bytes):
        return warning("disk", said, "make room, or move to MongoDB; a backup needs as much again")
    return ok("disk", said)
