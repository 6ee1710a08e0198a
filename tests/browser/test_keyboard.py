"""Staff who use no mouse sign in, find a failed record and retry it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.screens.showroom import PASSWORD, USERNAME

MANY = 150


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until this has the focus, which must be seen."""
    for _ in range(MANY):
        if wanted.evaluate("node => node === document.activeElement"):
            assert wanted.evaluate("node => node.matches(':focus-visible')")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_signing_in_and_a_retry_need_only_the_keyboard(strange_page: Page) -> None:
    page = strange_page
    page.goto("/admin/")
    tab_to(page, page.get_by_label("Username"))
    page.keyboard.type(USERNAME)
    tab_to(page, page.get_by_label("Password"))
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title(re.compile("Overview"))

    tab_to(page, page.get_by_role("navigation").get_by_role("link", name="Open work"))
    page.keyboard.press("Enter")
    expect(page).to_have_title(re.compile("Open work"))
    page.goto("/admin/dataunion/syncjob/?partner=clinic&status=failed")  # a link that a colleague sent
    tab_to(page, page.get_by_role("row").get_by_role("button", name="Retry").first)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Retry 1 job"))
    page.keyboard.press("Enter")

    expect(page.get_by_text("clinic: one job is due now, with all its attempts anew.")).to_be_visible()
