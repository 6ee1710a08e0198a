"""Whether this process can work: what health probes ask every few seconds."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from dataunion.models import NEVER, TaskLease


def count_missing_migrations() -> int:
    """Return how many migrations this database lacks."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def read_last(task: str) -> datetime | None:
    """Return when a periodic task (tick, upkeep) last ran; None if never."""
    ran_at = TaskLease.objects.filter(name=task).values_list("ran_at", flat=True).first()
    return ran_at if ran_at and ran_at > NEVER else None
