"""What staff do with partners: pause and resume one, add one that then gets records, all without a restart."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.service import Service
from tests.screens.showroom import Showroom


def open_partner(page: Page, name: str) -> None:
    """Open a partner's page from the list."""
    page.goto("/admin/dataunion/partner/")
    page.get_by_role("main").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_partner_that_is_paused_gets_its_records_when_it_is_resumed(page: Page, service: Service) -> None:
    open_partner(page, "clinic")
    page.get_by_role("link", name="Pause").click()
    page.get_by_label("Reason").fill("Their server moves today.")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("main")).to_contain_text("Paused by ada")
    expect(page.get_by_role("main")).to_contain_text("Their server moves today.")
    record_id = service.hand_in("while-paused", "checkin")
    service.wait_until_synced(record_id, "akave")
    assert not service.is_synced(record_id, "clinic")

    page.get_by_role("button", name="Resume").click()

    expect(page.get_by_text("clinic is on.")).to_be_visible()
    service.wait_until_synced(record_id, "clinic")


def test_a_webhook_partner_made_here_gets_a_test_delivery_and_then_records(
    page: Page, service: Service, showroom: Showroom
) -> None:
    page.goto("/admin/dataunion/partner/add/")
    page.get_by_label("Name").fill("newcomer")
    page.get_by_label("Url").fill(f"{showroom.hook_url}/newcomer")
    page.get_by_label(re.compile("^Secret")).fill(showroom.hook_secret)
    page.get_by_label("Own network allowed").select_option("yes")
    page.get_by_role("button", name="Save").click()
    open_partner(page, "newcomer")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_role("main")).to_contain_text("answered a signed ping with 204")
    record_id = service.hand_in("for-the-newcomer")
    service.wait_until_synced(record_id, "newcomer")

    (_, ping), (_, message) = service.deliveries("/newcomer")
    assert ping["type"] == "ping"
    assert message["data"]["data_id"] == "for-the-newcomer"
