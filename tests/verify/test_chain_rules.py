"""Findings that no honest contract can give rise to: the events of a registry or DLP that lies."""

from verify.chain_rules import check_announcements, check_rewards
from verify.registry import ChainFacts, File, Registered

OWNER, STRANGER = "0x" + "11" * 20, "0x" + "22" * 20
FILES = tuple(File(number, OWNER, f"http://s3/b/{number}", {}, frozenset()) for number in (1, 2, 3))


def found(findings):
    return [(finding.rule, finding.subject, finding.detail) for finding in findings]


def test_events_that_say_something_else_than_the_storage_are_named():
    announced = {
        1: frozenset({Registered(OWNER, "http://s3/b/1"), Registered(STRANGER, "http://s3/b/1")}),
        2: frozenset({Registered(OWNER, "http://s3/b/2")}),
        4: frozenset({Registered(OWNER, "http://s3/b/4")}),
    }

    assert found(check_announcements(ChainFacts(1, FILES, announced))) == [
        ("event_differs", "file 1", f"an event says owner {STRANGER}, URL http://s3/b/1"),
        ("event_missing", "file 3", "no event announced this registration"),
        ("event_surplus", "file 4", "an event announced it, but the registry does not hold it"),
    ]


def test_rewards_to_others_or_for_nothing_are_named():
    rewards = {1: (STRANGER,), 2: (OWNER,), 3: (OWNER,), 4: (OWNER,)}

    assert found(check_rewards(ChainFacts(1, FILES, rewards=rewards))) == [
        ("reward_foreign", "file 1", f"paid to {STRANGER}, its owner is {OWNER}"),
        ("reward_surplus", "file 4", "rewarded, but the registry does not hold it"),
    ]
