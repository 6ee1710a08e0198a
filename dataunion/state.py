"""The words of syncing: statuses, legal moves, a partner's entry in a record's JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# "total" would be taken for the number of records, and "__" for a path into JSON.
PARTNER_NAME_PATTERN = r"(?!total$)[a-z][a-z0-9]*([_-][a-z0-9]+)*"


class DataType(StrEnum):
    """Kinds of records."""

    HEALTH = "health"
    CHECKIN = "checkin"


class Status(StrEnum):
    """States of a SyncJob; a synced record has no job."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    RETRYING = "retrying"
    FAILED = "failed"
    BLOCKED = "blocked"


class PartnerState(StrEnum):
    """off: new records are not enrolled; paused: enrolled, nothing is sent."""

    ON = "on"
    OFF = "off"
    PAUSED = "paused"


class RunState(StrEnum):
    """States of a RetryRun."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class IncidentState(StrEnum):
    """ended: it is over, and who was told of it is still to be told so."""

    OPEN = "open"
    ENDED = "ended"
    OVER = "over"


class NoticeState(StrEnum):
    """States of a message about an incident; dropped: given up after a day."""

    WAITING = "waiting"
    SENT = "sent"
    DROPPED = "dropped"


OPEN_RUN = (RunState.RUNNING, RunState.PAUSED)


class Outcome(StrEnum):
    """How one attempt ended."""

    SYNCED = "synced"
    TRANSIENT = "transient"
    LIMITED = "limited"  # the partner said when to come back; spends no attempt
    UNKNOWN = "unknown"
    PERMANENT = "permanent"
    BLOCKED = "blocked"
    MISCONFIGURED = "misconfigured"
    INTERNAL = "internal"
    CRASHED = "crashed"


LIVE, BULK = 0, 1  # priorities

CLAIMABLE = (Status.PENDING, Status.RETRYING)
REOPENABLE = (Status.FAILED, Status.RETRYING)
FAILING = (Status.RETRYING, Status.FAILED, Status.BLOCKED)  # what "failed" means in statistics and failure lists

# Lettered as in ARCHITECTURE: from which statuses each move of claims.py may start, and where it ends.
MOVES: Mapping[str, tuple[tuple[Status, ...], Status]] = {
    "claim": (CLAIMABLE, Status.RUNNING),
    "complete": ((Status.RUNNING,), Status.DONE),
    "retry": ((Status.RUNNING,), Status.RETRYING),
    "snooze": ((Status.RUNNING,), Status.PENDING),
    "give_up": ((Status.RUNNING,), Status.FAILED),
    "block": ((Status.RUNNING,), Status.BLOCKED),
    "rescue": ((Status.RUNNING,), Status.PENDING),
    "poison": ((Status.RUNNING,), Status.FAILED),
    "reopen": (REOPENABLE, Status.PENDING),
    "unblock": ((Status.BLOCKED,), Status.PENDING),
}

_OURS = frozenset(
    {"is_synced", "error_message", "retry_data", "fence", "attempts", "synced_at", "withdrawn_at", "backfill"}
)


@dataclass(frozen=True, kw_only=True)
class PartnerEntry:
    """One partner's part of a record's `partners` JSON.

    Shape: {"is_synced": false, "error_message": null, "retry_data": null, "fence": 0, "attempts": 0, "synced_at":
    null} and beside them what the partner gave back, such as {"key": …, "url": …}. `retry_data` is sealed text there.
    """

    is_synced: bool = False
    error_message: str | None = None
    retry_data: str | None = None
    fence: int = 0
    attempts: int = 0  # runs recorded so far; the next attempt is number attempts + 1
    synced_at: str | None = None
    withdrawn_at: str | None = None
    backfill: str | None = None  # the key of the backfill that enrolled it; None: enrolled when the record came in
    receipt: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> PartnerEntry:
        """Read an entry; what it lacks has its default."""
        own = {k: value[k] for k in _OURS if k in value}
        return cls(**own, receipt={k: v for k, v in value.items() if k not in _OURS})

    def dump(self) -> dict[str, Any]:
        """Return the JSON form."""
        own: dict[str, Any] = {
            "is_synced": self.is_synced,
            "error_message": self.error_message,
            "retry_data": self.retry_data,
            "fence": self.fence,
            "attempts": self.attempts,
            "synced_at": self.synced_at,
        }
        if self.withdrawn_at:
            own["withdrawn_at"] = self.withdrawn_at
        if self.backfill:
            own["backfill"] = self.backfill
        return {**self.receipt, **own}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of one partner's part of a record that has a past elsewhere, when it comes in.

    `status` is done (synced: it gets no job), failed or pending; `saved`, in clear, is what the adapter's steps find.
    """

    status: Status = Status.PENDING
    error_message: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    saved: Mapping[str, Any] = field(default_factory=dict)
    refs: Sequence[tuple[str, str]] = ()

    @property
    def is_synced(self) -> bool:
        """Say whether the partner has the record."""
        return self.status == Status.DONE


Spent = Sequence[Mapping[str, Any]]  # of add_spent


def add_spent(spent: Spent | None, step: str, *, took_ms: int, since: str) -> Spent:
    """Return what an attempt spent on its steps, in the order they began, with one more run of `step`.

    Shape of each: {"step": "confirm", "runs": 5, "ms": 120, "since": "2026-11-28T12:00:00+00:00"}, where `ms` is the
    sum of its runs, and `since` when the worker's turn began in which it first ran. Steps that only ask again and again
    whether something is ready are one line, so this never grows beyond the number of steps.
    """
    lines = {line["step"]: line for line in spent or ()}
    before = lines.get(step, {"step": step, "runs": 0, "ms": 0, "since": since})
    lines[step] = {**before, "runs": before["runs"] + 1, "ms": before["ms"] + took_ms}
    return list(lines.values())


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt's facts, as a move stores them in the job's `outcome` until they are published."""

    outcome: Outcome
    number: int
    step: str
    started_at: str  # ISO 8601
    duration_ms: int
    trigger: str
    error_class: str = ""
    error_message: str = ""
    http_status: int | None = None
    code: str = ""
    spent: Spent | None = None

    def dump(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(self.__dict__)
