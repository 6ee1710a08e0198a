"""Debian's Chromium, driven by Playwright: people with a window of some size, in light or dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.screens.showroom import PASSWORD, USERNAME, Showroom, View

WIDTHS, HEIGHT = (390, 1440), 900
SCHEMES = ("light", "dark")
PATIENCE_MS = 30_000.0
NAMES = ("chromium", "chromium-browser")
MISSING = "Chromium is not installed; on Debian: apt-get install chromium fonts-dejavu-core"
# A picture taken in the middle of a change of colours would show, and axe would measure, neither the one nor the other.
_STILL = "*, *::before, *::after { transition: none !important; animation: none !important; caret-color: transparent }"


class MissingError(Exception):
    """Something that only this needs is not installed; the message says how to get it."""


def find_chromium() -> str:
    """Return the path of Chromium. Raises MissingError."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise MissingError(MISSING)
    return found


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """Give a browser without a window. Raises MissingError."""
    path = find_chromium()
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root, and containers often refuse the sandbox; only our own pages are opened.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def visit(browser: Browser, showroom: Showroom, *, scheme: str = "light", width: int = WIDTHS[1]) -> BrowserContext:
    """Return a stranger's browser, in which addresses begin at the showroom."""
    context = browser.new_context(
        base_url=showroom.url,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        viewport={"width": width, "height": HEIGHT},
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(PATIENCE_MS)
    return context


def sign_in(page: Page) -> None:
    """Sign the administrator in, as a person does."""
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: urlsplit(url).path == "/admin/")


def hold_still(page: Page) -> None:
    """Stop what moves, and wait for the fonts."""
    page.add_style_tag(content=_STILL)
    page.evaluate("() => document.fonts.ready.then(() => true)")


def show(page: Page, view: View) -> None:
    """Open a page and wait until it stands still, its charts too."""
    page.goto(view.path)
    hold_still(page)
    if page.locator("canvas").count():
        page.wait_for_timeout(1_200)  # Chart.js draws for a second, and says nothing when it is done
