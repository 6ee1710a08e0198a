"""When something is wrong: readings against the settings' thresholds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dataunion.causes import name_cause
from dataunion.conf import Conf
from dataunion.state import PartnerState
from partners.base import SignerReading


class Rule(StrEnum):
    """What is looked at."""

    STOPPED = "stopped"
    FAILING = "failing"
    LATE = "late"
    CLOCK = "clock"
    FUNDS = "funds"
    KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How the attempts of one hour, or of several, ended."""

    since: datetime
    synced: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """Return how many there were."""
        return self.synced + self.failed


@dataclass(frozen=True, kw_only=True)
class PartnerReading:
    """What is known of one partner that is not off."""

    name: str
    state: str = PartnerState.ON
    stopped_by_system: bool = False
    stopped_at: datetime | None = None
    reason: str = ""
    away_s: float = 0.0  # for how long its breaker has been open
    this_hour: Attempts
    both_hours: Attempts  # this one and the one before
    oldest_due: datetime | None = None
    signer: SignerReading | None = None
    is_signer_unknown: bool = False  # it has one, and the chain did not say what it holds


@dataclass(frozen=True, kw_only=True)
class KeyReading:
    """An API key that still opens something, and ends one day."""

    name: str
    prefix: str
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Everything at one moment."""

    now: datetime
    ticked_at: datetime | None
    partners: tuple[PartnerReading, ...] = ()
    keys: tuple[KeyReading, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a rule says of its subject: `said` is what is wrong, "" when nothing is, None when nobody knows."""

    rule: Rule
    subject: str
    said: str | None


def judge(readings: Readings, limits: Conf) -> list[Verdict]:
    """Return what every rule says."""
    now = readings.now
    found = [_judge_clock(readings.ticked_at, now, limits)]
    for partner in readings.partners:
        found += _judge_partner(partner, now, limits)
    return found + [_judge_key(key, now, limits) for key in readings.keys]


def _judge_partner(partner: PartnerReading, now: datetime, limits: Conf) -> Iterator[Verdict]:
    name = partner.name
    yield Verdict(rule=Rule.STOPPED, subject=name, said=_say_stopped(partner, now, limits))
    # What waits for a partner that is stopped or does not answer is late for that reason.
    is_on = partner.state == PartnerState.ON
    yield Verdict(rule=Rule.FAILING, subject=name, said=_say_failing(partner, limits) if is_on else None)
    is_judged = is_on and not partner.away_s
    yield Verdict(rule=Rule.LATE, subject=name, said=_say_late(partner, now, limits) if is_judged else None)
    if partner.signer or partner.is_signer_unknown:
        yield Verdict(rule=Rule.FUNDS, subject=name, said=_say_funds(name, partner.signer, limits))


def _say_stopped(partner: PartnerReading, now: datetime, limits: Conf) -> str:
    if partner.stopped_by_system:
        since = f" {_span(now - partner.stopped_at)} ago" if partner.stopped_at else ""
        return f"{partner.name} was stopped by the system{since}: {name_cause(partner.reason)}"
    if partner.state == PartnerState.ON and partner.away_s >= 60 * limits.alert_stopped_minutes:
        return f"{partner.name} has not answered for {_span(timedelta(seconds=partner.away_s))}."
    return ""


def _say_failing(partner: PartnerReading, limits: Conf) -> str:
    enough = partner.this_hour.total >= limits.alert_failure_minimum
    counts = partner.this_hour if enough else partner.both_hours
    if counts.total < limits.alert_failure_minimum or counts.failed < limits.alert_failure_ratio * counts.total:
        return ""
    return f"{counts.failed:,} of {counts.total:,} attempts at {partner.name} failed since {counts.since:%H:%M} UTC."


def _say_late(partner: PartnerReading, now: datetime, limits: Conf) -> str:
    due = partner.oldest_due
    if due is None or now - due < timedelta(minutes=limits.alert_due_minutes):
        return ""
    return f"Work for {partner.name} has been due for {_span(now - due)}."


def _say_funds(name: str, signer: SignerReading | None, limits: Conf) -> str | None:
    if signer is None:
        return None
    if signer.balance >= limits.alert_signer_coins:
        return ""
    holds = f"{name}'s signer {signer.address} holds {signer.balance:.4f} of the chain's coin"
    return f"{holds}; gas costs {signer.price_gwei:.2f} gwei."


def _judge_clock(ticked_at: datetime | None, now: datetime, limits: Conf) -> Verdict:
    said = ""
    if ticked_at is None:
        said = "The clock has never ticked: nothing that becomes due is sent."
    elif now - ticked_at > timedelta(minutes=limits.alert_clock_minutes):
        said = f"The clock has not ticked for {_span(now - ticked_at)}: nothing that becomes due is sent."
    return Verdict(rule=Rule.CLOCK, subject="", said=said)


def _judge_key(key: KeyReading, now: datetime, limits: Conf) -> Verdict:
    said = ""
    if key.ends_at - now < timedelta(days=limits.alert_key_days):
        said = f"The API key {key.name} ({key.prefix}…) ends on {key.ends_at:%Y-%m-%d at %H:%M} UTC."
    return Verdict(rule=Rule.KEY, subject=key.prefix, said=said)


def _span(length: timedelta) -> str:
    """Return a span as people say it, in whole minutes, hours or days."""
    minutes = max(1, int(length.total_seconds() // 60))
    size, unit = next(
        ((size, unit) for size, unit in ((1440, "day"), (60, "hour")) if minutes >= 2 * size), (1, "minute")
    )
    count = minutes // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
