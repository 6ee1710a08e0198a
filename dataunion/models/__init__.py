"""The tables. One vocabulary a file; questions are QuerySet methods, moves live in claims."""

from dataunion.models.alert import Incident, Notice
from dataunion.models.backfill import FIRST_KEY, Backfill
from dataunion.models.chain import ChainTx, Signer
from dataunion.models.job import NEVER, RemoteRef, SyncAttempt, SyncJob, has_ended
from dataunion.models.partner import Partner
from dataunion.models.record import PAYLOADS, CheckIn, DataUnion, HealthData, Payload
from dataunion.models.upkeep import AuditState, Counters, HourStat, RetryPolicy, RetryRun, TaskLease
from dataunion.models.user import ApiKey, User

__all__ = [
    "FIRST_KEY",
    "NEVER",
    "PAYLOADS",
    "ApiKey",
    "AuditState",
    "Backfill",
    "ChainTx",
    "CheckIn",
    "Counters",
    "DataUnion",
    "HealthData",
    "HourStat",
    "Incident",
    "Notice",
    "Partner",
    "Payload",
    "RemoteRef",
    "RetryPolicy",
    "RetryRun",
    "Signer",
    "SyncAttempt",
    "SyncJob",
    "TaskLease",
    "User",
    "has_ended",
]
