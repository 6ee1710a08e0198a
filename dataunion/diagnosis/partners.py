"""The partners: switched how, configured rightly, and how their work stands. Options are named, never shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dataunion import roster
from dataunion.clock import db_now
from dataunion.diagnosis.findings import Finding, ok, problem, show_s, warning
from dataunion.models import Partner
from dataunion.state import PartnerState
from dataunion.stats import Queue, read_queues
from partners.breaker import CLOSED, Breaker
from partners.errors import MisconfiguredError, PartnerError
from partners.requirements import problems

_LATE_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one partner."""

    name: str
    state: str
    reason: str
    breaker: str
    wrong: tuple[str, ...]  # what is wrong with its configuration
    is_checked: bool  # the partner itself was asked, since the configuration changed last
    waiting: int
    failed: int
    oldest_due_s: float | None


def look(*, ask: bool) -> Iterator[Finding]:
    """Judge every partner; with `ask`, ask it whether its configuration works, as the admin's button does."""
    now = db_now()
    queues = read_queues(now)
    rows = roster.find_partners()
    if not rows:
        yield warning("partners", "there is none", "set DATAUNION_PARTNERS, or add one in the admin")
    for row in rows:
        facts = _read(row, queues.get(row.name, Queue()), now)
        yield judge_state(facts)
        yield judge_work(facts)
        if ask and row.state != PartnerState.OFF and not facts.wrong:
            yield _ask(row)


def _read(row: Partner, queue: Queue, now: datetime) -> Facts:
    due = queue.oldest_due
    return Facts(
        name=row.name,
        state=row.state,
        reason=row.state_reason,
        breaker=Breaker.load(row.breaker).state(now),
        wrong=tuple(_find_wrong(row)),
        is_checked=row.checked_version == row.version,
        waiting=queue.waiting + queue.counts["retrying"],
        failed=sum(queue.counts[status] for status in ("failed", "blocked")),
        oldest_due_s=None if due is None else (now - due).total_seconds(),
    )


def _find_wrong(row: Partner) -> Iterator[str]:
    try:
        options, config = roster.adapter_class(row).options, roster.read_config(row)
    except MisconfiguredError as error:
        yield error.message
        return
    for name, wrong in problems(options, config).items():
        yield f"{name} {wrong}"


def judge_state(facts: Facts) -> Finding:
    """Judge whether anything is sent to a partner at all."""
    check = f"partner {facts.name}"
    if facts.state == PartnerState.OFF:
        return ok(check, "off")
    if facts.wrong:
        return problem(
            check, "; ".join(facts.wrong), "set it in the environment, or on the partner's page in the admin"
        )
    if facts.state == PartnerState.PAUSED:
        return problem(
            check, f"paused: {facts.reason or 'no reason was given'}", "mend it, then resume it in the admin"
        )
    if facts.breaker != CLOSED:
        said = f"its breaker is {facts.breaker.replace('_', ' ')}: it did not answer"
        return warning(check, said, "it is asked again by itself; its last errors are in the admin")
    asked = "asked and found right" if facts.is_checked else "not asked yet (--ask-partners)"
    return ok(check, f"on, configured, {asked}, its breaker closed")


def judge_work(facts: Facts) -> Finding:
    """Judge how its work stands."""
    check = f"work for {facts.name}"
    late_s = facts.oldest_due_s or 0.0
    said = f"{facts.waiting} open, {facts.failed} failed"
    said += f", the oldest due for {show_s(late_s)}" if late_s > 0 else ""
    if late_s > _LATE_S and facts.state == PartnerState.ON:
        return warning(check, said, "start more workers, or raise its limits in the admin")
    if facts.failed:
        return warning(check, said, "see why in the admin; retry there, or by POST /api/v1/retry-runs")
    return ok(check, said)


def _ask(row: Partner) -> Finding:
    check = f"connection to {row.name}"
    try:
        told = roster.check_adapter(row)
    except MisconfiguredError as error:
        return problem(check, error.message, "mend its options, then test the connection in the admin")
    except PartnerError as error:
        return warning(check, error.message, "try again; nothing is lost while it does not answer")
    return ok(check, "; ".join(told) or "it has nothing to ask")
