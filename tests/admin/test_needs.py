"""The first lines of the first page: what needs somebody, and whether the latest retries worked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from dataunion import roster
from partners.breaker import Breaker
from tests.factories import IncidentFactory, PartnerFactory, RetryRunFactory, SyncJobFactory

pytestmark = pytest.mark.django_db


def read_needs(person: Client) -> list[tuple[str, str]]:
    """Return what needs a look, each with why."""
    needs: list[dict[str, Any]] = person.get("/admin/").context["needs"]
    return [(need["what"], need["why"]) for need in needs]


def test_where_nothing_needs_anybody_everything_is_flowing(viewer: Client) -> None:
    SyncJobFactory(status="pending")
    SyncJobFactory(status="retrying")
    SyncJobFactory(status="blocked")

    page = viewer.get("/admin/")

    assert page.context["needs"] == []
    assert "Everything is flowing" in page.content.decode()


def test_failed_jobs_need_a_look_and_lead_to_their_list(viewer: Client) -> None:
    SyncJobFactory.create_batch(2)
    SyncJobFactory(status="retrying")

    page = viewer.get("/admin/")

    [need] = page.context["needs"]
    assert (need["what"], need["why"]) == (
        "2 jobs stopped with an error",
        "1 cause; what usually helps stands below",
    )
    assert len(viewer.get(need["url"]).context["cl"].result_list) == 3
    assert "1 thing needs a look" in page.content.decode()


def test_partners_to_which_nothing_is_sent_need_a_look(viewer: Client) -> None:
    SyncJobFactory(partner="vana", status="pending")
    roster.pause(roster.get_partner("vana"), reason="balance is low", by="ada")
    broken = Breaker(open_until=(timezone.now() + timedelta(minutes=5, seconds=50)).timestamp())
    PartnerFactory(name="new", breaker=broken.dump())

    (paused, waits), (silent, why) = read_needs(viewer)

    assert (paused, waits) == ("vana is paused", "1 job waits")
    assert silent == "new does not answer"
    assert ">in 5 minutes</time>; nothing waits for it" in why


def test_open_alerts_need_a_look_but_for_those_that_have_a_line_of_their_own(viewer: Client) -> None:
    IncidentFactory(rule="stopped", subject="akave")
    IncidentFactory(rule="late", subject="vana")
    IncidentFactory(rule="late", subject="akave", state="ended")

    assert [what for what, _ in read_needs(viewer)] == ["vana: due work waits"]


def test_the_latest_retries_are_told_newest_first(viewer: Client) -> None:
    for name in ("oldest", "akave", "vana", "clinic"):
        RetryRunFactory(filter={"partner": name}, wanted=1, done=1, state="done")
    SyncJobFactory(run=str(RetryRunFactory(filter={"partner": "again"}, wanted=1, done=1, state="done").pk))

    runs = viewer.get("/admin/").context["runs"]

    assert [run["what"] for run in runs] == ["Partner again", "Partner clinic", "Partner vana"]
    assert runs[0]["words"] == "1 job failed again: see what stopped them, then retry those."
    assert runs[1]["words"] == "It worked: nothing of it is open any more."
