"""No page breaks a rule of WCAG 2.2 A and AA that axe-core knows, on a wide screen and on a phone, light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, StorageState

from tests.screens import chromium
from tests.screens.axe import find_violations
from tests.screens.showroom import Showroom


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_axe_finds_nothing_on_any_page(
    browser: Browser, showroom: Showroom, signed_in: StorageState, axe: str, scheme: str, width: int
) -> None:
    found, size = [], {"scheme": scheme, "width": width}
    with chromium.visit(browser, showroom, **size) as inside, chromium.visit(browser, showroom, **size) as outside:
        inside.add_cookies(signed_in["cookies"])
        pages = {True: inside.new_page(), False: outside.new_page()}
        for view in showroom.views:
            page = pages[view.signed_in]
            page.goto(view.path)
            chromium.hold_still(page)
            found += find_violations(page, view.name, axe)

    assert [str(violation) for violation in found] == []
