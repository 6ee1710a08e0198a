"""The overview in a browser: it refreshes itself, disturbs nobody, says how old it is; times are told locally."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dataunion.models import SyncJob
from tests.admin.conftest import make_viewer, sign_in
from tests.factories import RetryRunFactory, SyncJobFactory

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; on Debian: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once."""
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in this thread
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(live_server: object, browser: Browser) -> Iterator[Page]:
    """Open the overview with one failure, as a viewer in Berlin whose clock the test moves."""
    SyncJobFactory(cause="HTTP 503", error_message="HTTP 503")
    viewer: Client = sign_in(make_viewer())
    context = browser.new_context(timezone_id="Europe/Berlin", locale="en-GB")
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": viewer.cookies[name].value, "url": str(live_server)}])
    opened = context.new_page()
    opened.clock.install()
    opened.goto(f"{live_server}/admin/")
    yield opened
    context.close()


def wait_for_refresh(page: Page) -> None:
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.clock.run_for(11_000)


def test_new_figures_come_by_themselves_and_leave_the_reader_his_place(page: Page) -> None:
    page.locator("#outcomes-table summary").click()
    page.evaluate("document.activeElement.blur(); document.querySelector('#outcomes-chart').drawn = 'once'")
    SyncJob.objects.update(cause="HTTP 429", error_message="HTTP 429")

    wait_for_refresh(page)

    expect(page.get_by_text("HTTP 429")).to_be_visible()
    expect(page.locator("#outcomes-table table")).to_be_visible()
    assert page.evaluate("document.querySelector('#outcomes-chart').drawn") == "once"


def test_who_is_in_the_middle_of_the_figures_is_not_disturbed(page: Page) -> None:
    page.get_by_role("link", name="See 1 job").focus()
    SyncJob.objects.update(error_message="HTTP 429")

    page.clock.run_for(25_000)

    expect(page.get_by_role("status")).to_have_text("They wait while you are in the middle of them.")
    expect(page.locator("#age")).to_have_text(re.compile(r"^[2-5]\d seconds ago$"))  # a slow machine adds some
    expect(page.get_by_text("HTTP 503")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    wait_for_refresh(page)
    expect(page.get_by_text("HTTP 429")).to_be_visible()


def test_a_person_can_stop_it_and_let_it_go_on(page: Page) -> None:
    page.get_by_role("button", name="Stop refreshing").click()
    SyncJob.objects.update(error_message="HTTP 429")

    page.clock.run_for(60_000)

    expect(page.get_by_text("HTTP 503")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("They stay as they are until you let them refresh again.")
    page.get_by_role("button", name="Refresh again").click()
    expect(page.get_by_text("HTTP 429")).to_be_visible()


def test_it_says_since_when_there_is_no_answer(page: Page) -> None:
    page.route("**/admin/", lambda route: route.abort())

    page.clock.run_for(11_000)

    expect(page.get_by_role("status")).to_contain_text("No answer since ")
    expect(page.get_by_text("HTTP 503")).to_be_visible()
    page.unroute("**/admin/")
    wait_for_refresh(page)
    expect(page.get_by_role("status")).to_contain_text("As of ")


def test_who_was_signed_out_is_told_and_keeps_the_last_figures(page: Page) -> None:
    page.context.clear_cookies()

    wait_for_refresh(page)

    expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    expect(page.get_by_role("status")).to_have_text("These are the last figures.")
    expect(page.get_by_text("HTTP 503")).to_be_visible()
    page.clock.run_for(25_000)
    expect(page.get_by_role("alert")).to_have_count(1)
    page.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(re.compile(r"/admin/login/\?next=%2Fadmin%2F$"))


def test_who_may_not_look_any_more_is_told(page: Page) -> None:
    Group.objects.get(name="viewer").user_set.clear()

    wait_for_refresh(page)

    expect(page.get_by_role("status")).to_contain_text("You may not look at this any more.")
    expect(page.get_by_text("HTTP 503")).to_be_visible()


def test_the_card_of_a_retry_run_stays_where_its_reader_was_signed_out(page: Page, live_server: object) -> None:
    run = RetryRunFactory(state="running", filter={"partner": "akave"})
    page.goto(f"{live_server}/admin/dataunion/retryrun/{run.pk}/change/")
    page.context.clear_cookies()

    wait_for_refresh(page)

    expect(page.locator("#run").get_by_role("alert")).to_contain_text("You are signed out")
    expect(page.get_by_text("partner akave")).to_be_visible()
    page.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(re.compile(rf"next=%2Fadmin%2Fdataunion%2Fretryrun%2F{run.pk}%2Fchange%2F$"))


def test_times_tell_the_readers_own_zone_and_then_utc(page: Page) -> None:
    def titles() -> list[str]:
        return page.locator("#figures time").evaluate_all("all => all.map(one => one.title)")

    before = titles()
    wait_for_refresh(page)

    for title in [*before, *titles(), page.locator("#as-of").get_attribute("title") or ""]:
        local, utc = title.split("\n")
        assert ("CET" in local or "CEST" in local or "GMT+" in local, utc.endswith(" UTC")) == (True, True)
    assert len(before) > 24


def test_clock_times_say_their_zone(page: Page) -> None:
    axis = "Chart.getChart(document.querySelector('#outcomes-chart canvas')).options.scales.x.title.text"

    zones = (page.locator("#as-of").inner_text().split()[-1], page.evaluate(axis))

    assert [zone in ("CET", "CEST", "GMT+1", "GMT+2") for zone in zones] == [True, True]


def test_nothing_is_asked_while_nobody_looks_and_at_once_when_somebody_does(page: Page) -> None:
    look = "hidden => Object.defineProperty(document, 'hidden', {value: hidden, configurable: true})"
    page.evaluate(look, True)
    SyncJob.objects.update(error_message="HTTP 429")
    page.clock.run_for(60_000)
    expect(page.get_by_text("HTTP 503")).to_be_visible()

    page.evaluate(look, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.get_by_text("HTTP 429")).to_be_visible()
