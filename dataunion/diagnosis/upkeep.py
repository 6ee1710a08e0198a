"""The clock's work: when it was done last, and what the audit had to mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dataunion.clock import db_now
from dataunion.diagnosis import vitals
from dataunion.diagnosis.findings import Finding, ok, problem, show_s, warning
from dataunion.models import NEVER, AuditState

_LATE = timedelta(seconds=60)
_LATE_UPKEEP = timedelta(minutes=10)
_RECENT = timedelta(days=1)


def look() -> Iterator[Finding]:
    """Read when the periodic tasks ran."""
    now = db_now()
    yield judge_tick(vitals.read_last("tick"), now)
    yield judge_upkeep(vitals.read_last("upkeep"), now)
    yield judge_audit(AuditState.objects.values("ran_at", "repaired_at", "repaired").first(), now)


def judge_tick(ran_at: datetime | None, now: datetime) -> Finding:
    """Judge the work of every few seconds."""
    remedy = "start beat, a worker for queue dataunion, and the broker"
    if ran_at is None:
        return problem("tick", "the clock's work was never done", remedy)
    said = f"{_ago(ran_at, now)}"
    return ok("tick", said) if now - ran_at <= _LATE else problem("tick", f"last done {said}", remedy)


def judge_upkeep(ran_at: datetime | None, now: datetime) -> Finding:
    """Judge the work of every minute."""
    remedy = "look for tick.failed in the log of the worker for queue dataunion"
    if ran_at is None:
        return warning("upkeep", "never done", "wait a minute after the first start; then " + remedy)
    said = _ago(ran_at, now)
    return ok("upkeep", said) if now - ran_at <= _LATE_UPKEEP else warning("upkeep", f"last done {said}", remedy)


def judge_audit(state: Mapping[str, Any] | None, now: datetime) -> Finding:
    """Judge what the audit found: it mends, but somebody should know why there was something to mend."""
    if state is None or state["ran_at"] <= NEVER:
        return warning("audit", "never run", "it runs with the clock's work; by hand: ./run manage check_integrity")
    said = f"last run {_ago(state['ran_at'], now)}"
    mended = ", ".join(f"{n} × {kind}" for kind, n in sorted(state["repaired"].items()))
    if not mended:
        return ok("audit", f"{said}, nothing ever had to be mended")
    said = f"{said}, last mended something {_ago(state['repaired_at'], now)}; in all: {mended}"
    if now - state["repaired_at"] > _RECENT:
        return ok("audit", said)
    return warning("audit", said, "expected after a crash or a hand in the database; else look for audit.repaired")


def _ago(at: datetime, now: datetime) -> str:
    return f"{show_s(max(0.0, (now - at).total_seconds()))} ago"
