"""Partners: how they do, pause and resume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from dataunion.models import Partner
from partners.breaker import Breaker
from tests.api.conftest import Ask, assert_problem
from tests.factories import PartnerFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
WELL = {
    "label": "Fake",
    "state": "on",
    "state_reason": "",
    "state_by": "",
    "state_at": None,
    "requires": [],
    "data_types": [],
    "breaker": {"state": "closed", "probe_at": None},
    "not_before": None,
    "due": 0,
}


def test_partners_are_listed_in_their_order(ask: Ask, reader) -> None:
    SyncJobFactory(status="pending")
    SyncJobFactory(status="failed")
    SyncJobFactory(status="pending", due_at=timezone.now() + timedelta(hours=1))

    found = ask(reader, "GET", "partners").json()

    assert found == {"results": [{"name": "akave", **WELL}, {"name": "vana", **WELL, "due": 1}]}


def test_a_partner_in_trouble_says_so(ask: Ask, reader) -> None:
    later = timezone.now().replace(microsecond=0) + timedelta(minutes=5)
    opened = Breaker(open_until=later.timestamp(), trips=1).dump()
    PartnerFactory(name="vana", breaker=opened, not_before=later, data_types=["health"])

    vana = ask(reader, "GET", "partners").json()["results"][1]

    shown = later.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert vana["breaker"] == {"state": "open", "probe_at": shown}
    assert vana["not_before"] == shown
    assert vana["data_types"] == ["health"]


def test_a_partner_whose_adapter_is_unknown_is_still_listed(ask: Ask, reader) -> None:
    PartnerFactory(name="tape", adapter="no.such.Adapter")

    assert ask(reader, "GET", "partners").json()["results"][2] == {"name": "tape", **WELL, "label": "tape"}


@pytest.mark.parametrize(
    ("body", "reason"), [({"reason": "maintenance"}, "maintenance"), ({}, "Paused by REST."), (None, "Paused by REST.")]
)
def test_a_partner_is_paused_with_a_reason_and_resumed(ask: Ask, admin, body: object, reason: str) -> None:
    paused = ask(admin, "POST", "partners/vana/pause", body)

    assert paused.status_code == 200
    row = Partner.objects.get(name="vana")
    assert (row.state, row.state_reason, row.state_by) == ("paused", reason, f"API key {admin.prefix} (boss)")
    assert paused.json()["state"] == "paused"
    assert datetime.fromisoformat(paused.json()["state_at"]) == row.state_at
    assert Partner.objects.get(name="akave").state == "on"

    resumed = ask(admin, "POST", "partners/vana/resume")

    assert resumed.status_code == 200
    row = Partner.objects.get(name="vana")
    assert (row.state, row.state_reason) == ("on", "")


def test_a_pause_that_cannot_be_understood_pauses_nothing(ask: Ask, admin) -> None:
    assert_problem(ask(admin, "POST", "partners/vana/pause", {"reason": 5}), 400, "reason should be a string")
    assert_problem(ask(admin, "POST", "partners/vana/pause", [1]), 400, "This should be a JSON object.")

    assert Partner.objects.get(name="vana").state == "on"


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_an_unknown_partner_is_not_found(ask: Ask, admin, act: str) -> None:
    response = ask(admin, "POST", f"partners/filecoin/{act}")

    assert_problem(response, 404, "Partner filecoin not found; there are: akave, vana")


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_a_partner_that_is_off_is_left_to_staff(ask: Ask, admin, act: str) -> None:
    PartnerFactory(name="vana", state="off")

    response = ask(admin, "POST", f"partners/vana/{act}")

    assert_problem(response, 409, "Partner vana is off; staff switch it on in the admin.")
    assert Partner.objects.get(name="vana").state == "off"
