"""When again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataunion.sync.backoff import clamp_retry_after, delay_s


@given(st.integers(1, 10_000), st.integers(0))
def test_a_delay_is_between_half_and_all_of_what_doubling_gives(attempts: int, seed: int) -> None:
    full = min(600.0, 5.0 * 2.0 ** min(attempts - 1, 60))

    assert full / 2 <= delay_s(attempts, base_s=5.0, cap_s=600.0, random=Random(seed)) <= full


def test_delays_differ_so_that_jobs_do_not_come_back_together() -> None:
    assert len({delay_s(3, base_s=5.0, cap_s=600.0) for _ in range(20)}) > 10


@pytest.mark.parametrize(("asked", "expected"), [(0.0, 1.0), (1.0, 1.0), (60.0, 60.0), (9e9, 3600.0), (-5.0, 1.0)])
def test_what_a_partner_asks_for_has_bounds(asked: float, expected: float) -> None:
    assert clamp_retry_after(asked, floor_s=1.0, cap_s=3600.0) == expected
