"""The rules: what is wrong, from exactly which value on, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataunion.alerts.rules import Attempts, KeyReading, PartnerReading, Readings, Rule, judge
from dataunion.conf import Conf
from partners.base import SignerReading

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)
NOTHING = Attempts(since=HOUR)
LIMITS = Conf()


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def partner(**fields: Any) -> PartnerReading:
    return PartnerReading(name="vana", **{"this_hour": NOTHING, "both_hours": NOTHING, **fields})


def said(rule: Rule, readings: Readings) -> str | None:
    """Return what a rule says of its only subject."""
    found = [verdict.said for verdict in judge(readings, LIMITS) if verdict.rule == rule]
    assert len(found) == 1
    return found[0]


def of_partner(rule: Rule, **fields: Any) -> str | None:
    return said(rule, Readings(now=NOW, ticked_at=NOW, partners=(partner(**fields),)))


def test_all_is_well_where_nothing_is_wrong() -> None:
    verdicts = judge(Readings(now=NOW, ticked_at=NOW, partners=(partner(),)), LIMITS)

    assert [(verdict.rule, verdict.subject, verdict.said) for verdict in verdicts] == [
        (Rule.CLOCK, "", ""),
        (Rule.STOPPED, "vana", ""),
        (Rule.FAILING, "vana", ""),
        (Rule.LATE, "vana", ""),
    ]


# --- stopped


def test_a_partner_that_the_system_stopped_is_told_with_its_cleaned_cause() -> None:
    reason = "vana: check: https://node.example/v1/secret answered 401 for 0x00ff00ff00ff"

    told = of_partner(Rule.STOPPED, state="paused", stopped_by_system=True, stopped_at=ago(minutes=150), reason=reason)

    assert told == "vana was stopped by the system 2 hours ago: vana: check: <name> answered 401 for <hex>"


def test_a_partner_that_a_person_paused_is_not_told() -> None:
    assert of_partner(Rule.STOPPED, state="paused", reason="holiday") == ""


@pytest.mark.parametrize(("away_s", "expected"), [(299, ""), (300, "vana has not answered for 5 minutes.")])
def test_a_partner_that_does_not_answer_is_told_after_a_while(away_s: float, expected: str) -> None:
    assert of_partner(Rule.STOPPED, away_s=away_s) == expected


# --- failing


@pytest.mark.parametrize(
    ("synced", "failed", "expected"),
    [
        (10, 10, "10 of 20 attempts at vana failed since 12:00 UTC."),
        (11, 10, ""),
        (9, 10, ""),  # too few to judge
        (0, 1500, "1,500 of 1,500 attempts at vana failed since 12:00 UTC."),
    ],
)
def test_attempts_are_judged_by_their_ratio_from_a_number_on(synced: int, failed: int, expected: str) -> None:
    counts = Attempts(since=HOUR, synced=synced, failed=failed)

    assert of_partner(Rule.FAILING, this_hour=counts, both_hours=counts) == expected


def test_where_this_hour_has_too_few_attempts_the_hour_before_counts_too() -> None:
    both = Attempts(since=HOUR - timedelta(hours=1), synced=1, failed=30)

    told = of_partner(Rule.FAILING, this_hour=Attempts(since=HOUR, synced=1), both_hours=both)

    assert told == "30 of 31 attempts at vana failed since 11:00 UTC."


def test_this_hour_alone_decides_where_it_has_enough() -> None:
    both = Attempts(since=HOUR - timedelta(hours=1), synced=20, failed=900)

    assert of_partner(Rule.FAILING, this_hour=Attempts(since=HOUR, synced=20), both_hours=both) == ""


# --- late


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(14.9, ""), (15, "Work for vana has been due for 15 minutes."), (3000, "Work for vana has been due for 2 days.")],
)
def test_work_that_is_due_for_long_is_told(minutes: float, expected: str) -> None:
    assert of_partner(Rule.LATE, oldest_due=ago(minutes=minutes)) == expected


@pytest.mark.parametrize("fields", [{"state": "paused"}, {"away_s": 30.0}])
def test_nobody_knows_what_is_late_for_a_partner_that_stands(fields: dict[str, Any]) -> None:
    assert of_partner(Rule.LATE, oldest_due=ago(hours=5), **fields) is None


def test_nobody_knows_what_fails_at_a_partner_that_is_paused() -> None:
    counts = Attempts(since=HOUR, failed=100)

    assert of_partner(Rule.FAILING, state="paused", this_hour=counts, both_hours=counts) is None


# --- the clock


@pytest.mark.parametrize(
    ("ticked_at", "expected"),
    [
        (ago(seconds=120), ""),
        (ago(seconds=121), "The clock has not ticked for 2 minutes: nothing that becomes due is sent."),
        (NOW + timedelta(hours=1), ""),
        (None, "The clock has never ticked: nothing that becomes due is sent."),
    ],
)
def test_a_clock_that_stands_is_told(ticked_at: datetime | None, expected: str) -> None:
    assert said(Rule.CLOCK, Readings(now=NOW, ticked_at=ticked_at)) == expected


# --- the signer


def test_a_signer_that_holds_too_little_is_told() -> None:
    poor = SignerReading(address="0xabc", balance=0.099, price_gwei=1.5)

    told = of_partner(Rule.FUNDS, signer=poor)

    assert told == "vana's signer 0xabc holds 0.0990 of the chain's coin; gas costs 1.50 gwei."


def test_a_signer_that_holds_enough_is_not_told() -> None:
    rich = SignerReading(address="0xabc", balance=0.1, price_gwei=1e-9)

    assert of_partner(Rule.FUNDS, signer=rich) == ""


def test_a_signer_whose_chain_does_not_answer_is_neither_poor_nor_rich() -> None:
    assert of_partner(Rule.FUNDS, is_signer_unknown=True) is None


# --- keys


@pytest.mark.parametrize(
    ("days", "expected"),
    [(14, ""), (13.9, "The API key check-ins (ab12cd34…) ends on 2026-12-12 at 10:06 UTC.")],
)
def test_a_key_that_ends_soon_is_told(days: float, expected: str) -> None:
    key = KeyReading(name="check-ins", prefix="ab12cd34", ends_at=NOW + timedelta(days=days))

    assert said(Rule.KEY, Readings(now=NOW, ticked_at=NOW, keys=(key,))) == expected
