"""A real failure: seen on the overview, retried with all like it, watched, synced."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect


def test_a_group_of_failures_is_retried_from_the_overview_and_gets_synced(page: Page) -> None:
    page.goto("/admin/")
    cause = page.get_by_role("listitem").filter(has_text="What usually helps").filter(has_text="502")
    expect(cause).to_contain_text("4 jobs")

    cause.get_by_role("link", name=re.compile("4 jobs")).click()
    page.get_by_role("link", name="Retry all that match").click()
    expect(page.get_by_role("main")).to_contain_text("4 jobs will be due at once")
    page.get_by_role("button", name="Retry 4 jobs").click()

    expect(page).to_have_url(re.compile("/retryrun/"))
    expect(page.get_by_role("progressbar", name="Retry run")).to_have_attribute("aria-valuenow", "100")
    page.goto("/admin/dataunion/syncjob/?partner=akave&status=failed")
    expect(page.get_by_role("main")).not_to_contain_text("502")
    page.goto("/admin/")
    expect(page.get_by_text("Did it work?")).to_be_visible()
    expect(cause).to_have_count(0)
