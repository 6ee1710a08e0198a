"""The admin: where staff see what is synced where, and mend it. State is read-only; actions call the rooms below."""

from dataunion.admin import attempts, backfills, jobs, partners, people, records, runs

__all__ = ["attempts", "backfills", "jobs", "partners", "people", "records", "runs"]
