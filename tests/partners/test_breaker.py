"""The breaker as a value: when it opens, whom it lets through, how it comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Policy

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def opened(**policy: float) -> Breaker:
    """Return a breaker that opened at NOW."""
    return Breaker(policy=Policy(**policy)).record(NOW, 0, 10)  # type: ignore[arg-type]


def draining() -> Breaker:
    """Return a breaker whose probe succeeded at 31 s."""
    return opened().probe_taken(at(30)).record(at(31), 1, 0)


# Closed


def test_a_new_breaker_admits_everything():
    assert (Breaker.load(None).state(NOW), Breaker.load(None).admits(NOW, 200)) == (CLOSED, 200)


def test_it_stays_closed_below_the_smallest_number_of_calls():
    assert Breaker().record(NOW, 0, 9).admits(NOW, 5) == 5


def test_it_opens_at_the_ratio_and_not_below():
    assert Breaker().record(NOW, 6, 5).state(NOW) == CLOSED
    assert Breaker().record(NOW, 5, 5).state(NOW) == OPEN


def test_it_adds_up_the_window_and_forgets_what_is_older():
    before = Breaker().record(at(0), 0, 9)

    assert before.record(at(59), 0, 1).state(at(59)) == OPEN
    assert before.record(at(60), 0, 1).state(at(60)) == CLOSED


def test_calls_of_the_very_moment_at_which_a_part_of_the_window_begins_add_up():
    assert Breaker().record(at(10), 0, 9).record(at(10), 0, 1).state(at(10)) == OPEN


def test_good_calls_alone_never_open_it():
    assert Breaker(policy=Policy(ratio=0.0)).record(NOW, 100, 0).state(NOW) == CLOSED


def test_the_window_is_stored_in_a_few_counts():
    breaker = Breaker()
    for second in range(300):
        breaker = breaker.record(at(second), 1, 0)

    assert len(breaker.window) <= 7
    assert 50 <= sum(good for _, good, _ in breaker.window) <= 60


# Open and half-open


def test_an_open_breaker_admits_nothing_until_its_time_is_over():
    breaker = opened()

    assert (breaker.state(at(29.9)), breaker.admits(at(29.9), 5)) == (OPEN, 0)
    assert (breaker.state(at(30)), breaker.admits(at(30), 5)) == (HALF_OPEN, 1)
    assert breaker.reopens_at() == at(30)
    assert Breaker().reopens_at() is None


def test_nothing_wanted_is_nothing_admitted():
    assert opened().admits(at(30), 0) == 0


def test_there_is_one_probe_until_it_reports():
    breaker = opened().probe_taken(at(30))

    assert breaker.admits(at(30), 5) == 0
    assert breaker.admits(at(89.9), 5) == 0


def test_a_probe_whose_time_ran_out_is_replaced():
    assert opened().probe_taken(at(30)).admits(at(90), 5) == 1


def test_a_claim_while_closed_is_no_probe():
    assert Breaker().probe_taken(NOW) == Breaker()


def test_a_probe_handed_back_unused_lets_the_next_go():
    breaker = opened().probe_taken(at(30), "worker").record(at(31), 0, 0, "worker")

    assert breaker == opened()
    assert (breaker.state(at(31)), breaker.admits(at(31), 5)) == (HALF_OPEN, 1)


def test_stragglers_from_before_the_opening_change_nothing():
    breaker = opened()

    assert breaker.record(at(5), 50, 0) == breaker
    assert breaker.record(at(5), 0, 50) == breaker


def test_only_the_prober_says_how_the_probe_went():
    breaker = opened().probe_taken(at(30), "one")

    assert breaker.record(at(31), 5, 0, "another") == breaker
    assert breaker.record(at(31), 0, 5, "another") == breaker
    assert breaker.record(at(31), 1, 0, "one").state(at(31)) == CLOSED


def test_while_others_are_on_their_way_there_is_no_probe():
    assert opened().admits(at(30), 5, running=1) == 0


def test_a_partner_that_cannot_even_be_asked_is_left_alone_the_second_time():
    once = Breaker().unreached(NOW)

    assert Breaker(policy=Policy(min_calls=5)).unreached(NOW).window == ((NOW.timestamp(), 0, 3),)
    assert once.state(NOW) == CLOSED
    assert once.unreached(at(20)).reopens_at() == at(50)
    assert once.unreached(at(20)).unreached(at(51)).reopens_at() == at(111)


@pytest.mark.parametrize(("failed_probes", "open_s"), [(0, 30), (1, 60), (2, 120), (4, 480), (5, 600), (50, 600)])
def test_each_failed_probe_doubles_the_pause_up_to_its_cap(failed_probes, open_s):
    breaker, now = opened(), NOW
    for _ in range(failed_probes):
        now = breaker.reopens_at()
        breaker = breaker.probe_taken(now).record(now, 0, 1)

    assert breaker.reopens_at() - now == timedelta(seconds=open_s)


def test_the_longest_pause_is_kept_to_its_end_and_the_policy_with_it():
    breaker = opened(open_s=600, max_open_s=600)

    assert breaker == Breaker(policy=Policy(open_s=600, max_open_s=600), open_until=at(600).timestamp(), trips=1)
    assert [breaker.state(at(s)) for s in (0, 599, 600)] == [OPEN, OPEN, HALF_OPEN]


def test_a_clock_that_ran_ahead_does_not_keep_it_open_for_ever():
    breaker = Breaker().record(at(3600), 0, 10)

    assert breaker.admits(NOW, 5) == 1
    assert breaker.probe_taken(at(3600)).admits(NOW, 5) == 1


# Coming back


def test_it_drains_slowly_after_a_good_probe():
    breaker, admitted = draining(), []
    for _ in range(10):
        admitted.append(breaker.admits(at(31), 200))
        breaker = breaker.record(at(31), admitted[-1], 0)

    assert admitted == [1, 2, 4, 8, 16, 32, 64, 128, 200, 200]
    assert (breaker.pace, breaker.trips) == (None, 0)


def test_a_good_probe_leaves_nothing_of_the_outage_but_the_pace():
    assert opened().probe_taken(at(30), "worker").record(at(31), 1, 0, "worker") == Breaker(pace=1, trips=1)


def test_the_fastest_pace_is_still_a_pace():
    breaker = Breaker(pace=128, trips=1).record(NOW, 128, 0)

    assert (breaker.pace, breaker.trips) == (256, 1)


def test_all_workers_share_the_pace():
    breaker = draining().record(at(31), 1, 0).record(at(31), 2, 0)

    assert [breaker.admits(at(31), 200, running) for running in (0, 3, 4, 9)] == [4, 1, 0, 0]


def test_a_chunk_with_a_few_failures_keeps_the_pace():
    breaker = draining().record(at(31), 1, 0).record(at(31), 1, 0)

    assert breaker.record(at(32), 3, 1).admits(at(32), 200) == 4


def test_a_bad_chunk_while_draining_opens_it_again_for_longer():
    breaker = draining().record(at(32), 0, 1)

    assert (breaker.state(at(32)), breaker.reopens_at()) == (OPEN, at(92))


def test_old_failures_do_not_count_against_a_partner_that_is_back():
    assert draining().record(at(32), 1, 0).state(at(32)) == CLOSED


# Stored


def test_what_is_stored_comes_back_through_json():
    breaker = Breaker(
        window=((10.0, 7, 3), (20.0, 1, 2)), open_until=1.5, probe_until=2.5, probe_by="worker", pace=4, trips=2
    )
    stored = {"window": [[10.0, 7, 3], [20.0, 1, 2]], "open_until": 1.5, "probe_until": 2.5, "probe_by": "worker"}

    assert breaker.dump() == {**stored, "pace": 4, "trips": 2}
    assert Breaker.load(json.loads(json.dumps(breaker.dump()))) == breaker


def test_it_loads_what_an_older_or_newer_version_stored():
    assert Breaker.load({"trips": 2, "colour": "red"}) == Breaker(trips=2)


def test_the_policy_is_not_stored_but_given():
    policy = Policy(min_calls=1)

    assert Breaker.load({}, policy).record(NOW, 0, 1).state(NOW) == OPEN


STEPS = st.lists(st.tuples(st.floats(0, 120), st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=40)


@given(STEPS)
def test_whatever_happens_it_admits_again_within_its_longest_pause(steps):
    breaker, now = Breaker(), NOW
    for seconds, successes, failures, probe in steps:
        now += timedelta(seconds=seconds)
        assert 0 <= breaker.admits(now, 7) <= 7
        breaker = breaker.probe_taken(now) if probe else breaker.record(now, successes, failures)

    assert breaker.admits(now + timedelta(seconds=600), 7) >= 1


# How long it has been open


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (29, 29), (45, 45)])
def test_it_knows_for_how_long_it_has_been_open(seconds: float, expected: float):
    assert opened().away_s(at(seconds)) == expected


def test_the_openings_of_one_outage_are_added_up():
    again = opened().probe_taken(at(30)).record(at(31), 0, 1)

    assert again.away_s(at(31)) == 30
    assert again.away_s(at(91)) == 90


def test_a_closed_one_has_been_open_for_no_time():
    assert (Breaker().away_s(NOW), draining().away_s(at(32))) == (0, 0)
