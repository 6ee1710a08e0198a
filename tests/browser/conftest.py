"""One showroom and one browser for all; each test gets a window of its own, signed in where it asks for `page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.browser.service import Service
from tests.screens import chromium
from tests.screens.axe import read_axe
from tests.screens.showroom import Showroom, open_showroom


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="package")
def axe() -> str:
    """Return axe-core's source."""
    try:
        return read_axe()
    except chromium.MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def showroom() -> Iterator[Showroom]:
    """Give a running DataUnion, with a story behind it."""
    try:
        chromium.find_chromium()
    except chromium.MissingError as error:
        pytest.skip(str(error))
    with open_showroom() as opened:
        yield opened


@pytest.fixture(scope="package")
def browser(showroom: Showroom) -> Iterator[Browser]:
    """Give Chromium; it is started last, since its event loop ends with it."""
    with chromium.start_chromium() as started:
        yield started


@pytest.fixture(scope="package")
def signed_in(browser: Browser, showroom: Showroom) -> StorageState:
    """Return the cookies of an administrator."""
    with chromium.visit(browser, showroom) as context:
        chromium.sign_in(context.new_page())
        return context.storage_state()


@pytest.fixture
def page(browser: Browser, showroom: Showroom, signed_in: StorageState) -> Iterator[Page]:
    """Give a window in which an administrator has signed in."""
    with chromium.visit(browser, showroom) as context:
        context.add_cookies(signed_in["cookies"])
        yield context.new_page()


@pytest.fixture
def strange_page(browser: Browser, showroom: Showroom) -> Iterator[Page]:
    """Give a window in which nobody has signed in."""
    with chromium.visit(browser, showroom) as context:
        yield context.new_page()


@pytest.fixture
def service(showroom: Showroom) -> Service:
    """Return another service, which hands records in by REST, and the partners' servers."""
    return Service(showroom)
