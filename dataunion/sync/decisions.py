"""From an error to what becomes of the job: retry, wait, give up, block. Pure but for the settings."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataunion.causes import name_cause
from dataunion.conf import conf
from dataunion.endings import Ending
from dataunion.models import Partner, SyncJob
from dataunion.state import Attempt, Outcome, Status
from dataunion.sync.backoff import clamp_retry_after, delay_s
from dataunion.sync.items import Unready
from partners.errors import (
    BlockedError,
    MisconfiguredError,
    NotReady,
    PartnerError,
    PermanentError,
    TransientError,
    UnknownOutcome,
)

_ASK_AT_LEAST_EVERY_S = 60.0


def _storable(text: str, limit: int) -> str:
    """Return what every database can store of a text that may come from a partner."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:limit]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """When and where a job's step ended."""

    job: SyncJob
    partner: Partner
    step: str
    started: datetime
    now: datetime

    def attempt(self, outcome: Outcome, error: PartnerError | None = None) -> Attempt:
        """Describe the attempt."""
        return Attempt(
            outcome=outcome,
            number=self.job.runs + 1,
            step=self.step,
            started_at=self.started.isoformat(),
            duration_ms=max(0, int((self.now - self.started).total_seconds() * 1000)),
            trigger=self.job.trigger,
            error_class=_storable(error.error_class, 20) if error else "",
            error_message=_storable(error.message, 2000) if error else "",
            http_status=error.http_status if error else None,
            code=_storable(error.code, 60) if error else "",
            spent=self.job.spent,
        )

    def after(self, seconds: float) -> datetime:
        """Return the time so many seconds from now."""
        return self.now + timedelta(seconds=seconds)

    def waited_s(self) -> float:
        """Return how long the job has waited in all."""
        return (self.now - self.job.waiting_since).total_seconds() if self.job.waiting_since else 0.0


def internal_error(error: BaseException) -> PartnerError:
    """Describe our own bug without its message, which may hold data: its type and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{frame[0].name}, line {frame[0].lineno}" if frame else "an unknown place"
    return PermanentError(
        f"Our own bug: {type(error).__name__} in {where}. The log has the trace; retry after a new version.",
        kind="internal",
    )


def describe_bug(error: BaseException) -> dict[str, str]:
    """Return what the log may hold of our own bug: type and trace, without the message, which may hold data."""
    return {"type": type(error).__name__, "trace": "".join(traceback.format_tb(error.__traceback__))}


def decide(at: Situation, error: Exception) -> Ending:
    """Return how the job ends after `error`."""
    if isinstance(error, Unready):
        return Ending(status=Status.PENDING, due_at=at.after(error.after_s))
    if isinstance(error, NotReady):
        return _wait(at, error)
    if isinstance(error, UnknownOutcome):
        return _ask_again(at, error)
    if isinstance(error, TransientError):
        return _retry(at, error)
    if isinstance(error, MisconfiguredError):
        attempt = at.attempt(Outcome.MISCONFIGURED, error)
        return Ending(status=Status.RETRYING, due_at=at.after(conf().sync_tick_s), attempt=attempt)
    if isinstance(error, BlockedError):
        return _block(at, error)
    if isinstance(error, PermanentError):
        outcome = Outcome.INTERNAL if error.error_class == "internal" else Outcome.PERMANENT
        return Ending(status=Status.FAILED, due_at=at.now, attempt=at.attempt(outcome, error), spends_attempt=True)
    return decide(at, internal_error(error))


def _block(at: Situation, error: BlockedError) -> Ending:
    """Block, and ask again some time later; the same answer as before is no new attempt."""
    same = at.job.error_class == error.error_class and at.job.error_message == error.message
    attempt = None if same else at.attempt(Outcome.BLOCKED, error)
    return Ending(status=Status.BLOCKED, due_at=at.after(conf().sync_requirement_s), attempt=attempt)


def _wait(at: Situation, error: NotReady) -> Ending:
    if at.waited_s() > error.at_most_s:
        waited = f"{error.message} Waited {int(at.waited_s())} s in vain."
        return _retry(at, TransientError(waited, http_status=error.http_status, code=error.code))
    why = name_cause(_storable(error.message, 2000))
    return Ending(status=Status.PENDING, due_at=at.after(error.after_s), waits=True, waits_for=why)


def _ask_again(at: Situation, error: UnknownOutcome) -> Ending:
    if at.waited_s() > conf().sync_unknown_s:
        return _retry(at, TransientError(error.message))
    # The longer it has been unknown, the rarer it is asked: each time may hold a worker up to its timeout.
    due_at = at.after(max(error.after_s, min(at.waited_s(), _ASK_AT_LEAST_EVERY_S)))
    return Ending(status=Status.RETRYING, due_at=due_at, attempt=at.attempt(Outcome.UNKNOWN, error), waits=True)


def is_limit(error: Exception) -> bool:
    """Say whether the partner asked to be left in peace."""
    return isinstance(error, TransientError) and (error.retry_after_s is not None or error.http_status == 429)


def peace_s(error: TransientError) -> float:
    """Return for how long the partner is left in peace."""
    asked = 5.0 if error.retry_after_s is None else error.retry_after_s
    bounds = conf()
    return clamp_retry_after(asked, floor_s=bounds.sync_retry_after_floor_s, cap_s=bounds.sync_retry_after_cap_s)


def _retry(at: Situation, error: TransientError) -> Ending:
    if is_limit(error):
        attempt = at.attempt(Outcome.LIMITED, error)
        return Ending(status=Status.RETRYING, due_at=at.after(peace_s(error)), attempt=attempt)
    attempt = at.attempt(Outcome.TRANSIENT, error)
    spent = at.job.attempts + 1
    if spent >= at.partner.max_attempts:
        return Ending(status=Status.FAILED, due_at=at.now, attempt=attempt, spends_attempt=True)
    delay = delay_s(spent, base_s=at.partner.backoff_base_s, cap_s=at.partner.backoff_cap_s)
    return Ending(status=Status.RETRYING, due_at=at.after(delay), attempt=attempt, spends_attempt=True)
