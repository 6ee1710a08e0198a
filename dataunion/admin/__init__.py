"""The admin: where staff see what is synced where, and mend it. State is read-only; actions call the rooms below."""

from dataunion.admin import alerts, attempts, backfills, groups, jobs, partners, people, policies, records, runs

__all__ = ["alerts", "attempts", "backfills", "groups", "jobs", "partners", "people", "policies", "records", "runs"]
