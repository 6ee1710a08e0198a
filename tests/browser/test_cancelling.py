"""A retry run that is cancelled half-way leaves what it has not touched as it was, and says how much that is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.screens.showroom import Showroom


@pytest.fixture(autouse=True)
def _stopped_clock(showroom: Showroom) -> Iterator[None]:
    """Have nothing go on by itself: a run stays where its first page has brought it."""
    showroom.ask("stop the clock")
    yield
    showroom.ask("start the clock")


def test_a_run_that_is_cancelled_half_way_leaves_the_rest_failed(page: Page, showroom: Showroom) -> None:
    showroom.ask("fail a lot")
    page.goto("/admin/dataunion/syncjob/retry-matching/?partner=mirror")
    page.get_by_role("button", name="Retry 320 jobs").click()
    expect(page.get_by_role("progressbar", name="Retry run")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("Not touched yet 20")

    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_text("Cancelled: what the run had not touched stays as it was.")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("Left as before 20")
    page.goto("/admin/dataunion/syncjob/retry-matching/?partner=mirror")
    expect(page.get_by_role("button", name=re.compile("Retry"))).to_contain_text("Retry 20 jobs")
