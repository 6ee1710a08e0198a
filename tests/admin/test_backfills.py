"""Backfill pages: the count first, a pace, progress, pause, cancel; and who may do it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from dataunion import backfill, roster
from dataunion.clock import db_now
from dataunion.models import Backfill, User
from dataunion.state import PartnerState
from tests.dataunion.work import hand_in, set_partner

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _older_records() -> None:
    set_partner("vana", state=PartnerState.OFF)
    for n in range(3):
        hand_in(f"old{n}")
    set_partner("vana", state=PartnerState.ON)


def ask_url() -> str:
    return reverse("admin:dataunion_partner_backfill", args=[roster.get_partner("vana").pk])


def url(run: Backfill, act: str = "change") -> str:
    return reverse(f"admin:dataunion_backfill_{act}", args=[run.pk])


def start() -> Backfill:
    return backfill.start(roster.get_partner("vana"), per_minute=60, by="ann")[0]


def let_see_backfills(name: str = "vera") -> None:
    User.objects.get(username=name).user_permissions.add(Permission.objects.get(codename="view_backfill"))


def test_a_partners_page_offers_its_older_records(operator: Client) -> None:
    page = operator.get(reverse("admin:dataunion_partner_change", args=[roster.get_partner("vana").pk]))

    assert "About 3 records came in without vana" in page.content.decode()


def test_the_count_and_the_effect_come_first(operator: Client) -> None:
    page = operator.get(ask_url()).content.decode()

    assert "3 records" in page
    assert Backfill.objects.count() == 0


def test_it_is_started_at_a_pace_and_logged(operator: Client) -> None:
    let_see_backfills()

    page = operator.post(ask_url(), {"per_minute": "1200"}, follow=True)

    run = Backfill.objects.get()
    assert (run.partner, run.about, run.per_minute, run.asked_by) == ("vana", 3, 1200, "vera")
    assert page.redirect_chain == [(url(run), 302)]
    assert "0 of about 3" in page.content.decode()
    assert {entry.change_message for entry in LogEntry.objects.all()} == {"Started a backfill of about 3 records"}


@pytest.mark.parametrize("pace", ["", "0", "6001", "fast"])
def test_a_pace_that_cannot_be_is_refused(operator: Client, pace: str) -> None:
    assert operator.post(ask_url(), {"per_minute": pace}).status_code == 200
    assert Backfill.objects.count() == 0


def test_asking_again_leads_to_the_one_under_way(operator: Client) -> None:
    run = start()

    assert operator.post(ask_url(), {"per_minute": "600"}).headers["Location"] == url(run)
    assert Backfill.objects.count() == 1


def test_a_partner_that_is_off_is_resumed_first(operator: Client) -> None:
    set_partner("vana", state=PartnerState.OFF)

    page = operator.post(ask_url(), {"per_minute": "600"}).content.decode()

    assert "vana is off. Resume it first" in page
    assert Backfill.objects.count() == 0


def test_switching_a_partner_on_leads_to_the_offer(operator: Client) -> None:
    set_partner("vana", state=PartnerState.OFF)

    response = operator.post(reverse("admin:dataunion_partner_resume", args=[roster.get_partner("vana").pk]))

    assert response.headers["Location"] == ask_url()


def test_it_is_paused_resumed_at_another_pace_and_cancelled(operator: Client) -> None:
    run = start()
    backfill.advance_all(db_now() + timedelta(seconds=130))
    states = []
    for act, pace in (("pause", ""), ("resume", "30"), ("cancel", ""), ("cancel", "")):
        operator.post(url(run, act), {"per_minute": pace})
        run.refresh_from_db()
        states.append((run.state, run.per_minute))

    assert states == [("paused", 60), ("running", 30), ("cancelled", 30), ("cancelled", 30)]
    assert [entry.change_message for entry in LogEntry.objects.order_by("action_time", "pk")] == [
        "Paused at 3 records (was running)",
        "Resumed at 3 records (was paused), 60 to 30 a minute",
        "Cancelled at 3 records (was running)",
    ]


def test_a_finished_one_tells_what_came_of_it(operator: Client) -> None:
    let_see_backfills()
    run = start()
    backfill.advance_all(db_now() + timedelta(minutes=3))

    page = operator.get(url(run))
    listed = operator.get(reverse("admin:dataunion_backfill_changelist"))

    assert (page.context["waiting"], page.context["failed"], page.context["is_open"]) == (3, 0, False)
    for words in ("3 of 3", "100 %"):
        assert words in page.content.decode()
        assert words in listed.content.decode()
    assert 'hx-trigger="every' not in page.content.decode()


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
def test_a_viewer_changes_nothing(viewer: Client, act: str) -> None:
    run = start()

    assert viewer.get(url(run, act)).status_code == 405
    assert viewer.post(url(run, act)).status_code == 403
    assert viewer.post(ask_url(), {"per_minute": "600"}).status_code == 403
    run.refresh_from_db()
    assert run.state == "running"
