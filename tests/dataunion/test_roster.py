"""Which partners there are: settings' rows, rows of their own, and the adapters built of both."""

from __future__ import annotations

from typing import Any

import pytest

from dataunion import roster, vault
from dataunion.models import Partner
from partners.errors import MisconfiguredError
from partners.testing import FakePartner
from tests.dataunion.sync.adapters import partners_of
from tests.dataunion.work import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def names() -> list[str]:
    return [row.name for row in roster.find_partners()]


def test_a_row_is_made_for_each_partner_of_the_settings() -> None:
    assert names() == ["akave", "vana"]
    assert list(Partner.objects.order_by("name").values_list("name", "adapter", "state")) == [
        ("akave", "partners.testing.FakePartner", "on"),
        ("vana", "partners.testing.FakePartner", "on"),
    ]


def test_rows_that_many_make_at_once_are_made_once() -> None:
    assert at_once(*[names] * 6) == [["akave", "vana"]] * 6
    assert Partner.objects.count() == 2


def test_the_settings_partners_come_first_and_the_others_by_name() -> None:
    for name in ("zoo", "box"):
        Partner.objects.create(name=name, adapter="webhook")

    assert names() == ["akave", "vana", "box", "zoo"]


def test_partners_that_are_off_are_not_active() -> None:
    roster.find_partners()
    Partner.objects.filter(name="akave").update(state="off")
    Partner.objects.filter(name="vana").update(state="paused")

    assert [row.name for row in roster.find_active()] == ["vana"]


def test_without_any_partner_the_refusal_says_none(settings: Any) -> None:
    settings.PARTNERS = {}

    with pytest.raises(roster.UnknownPartnerError, match=r"^Partner x not found; there are: none$"):
        roster.get_partner("x")


# --- configuration


def test_a_rows_options_stand_over_the_settings(settings: Any) -> None:
    settings.PARTNERS = partners_of() | {
        "x": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {"greeting": "hi", "token": "from-settings"}}
    }
    row = roster.get_partner("x")
    assert roster.read_config(row) == {"greeting": "hi", "token": "from-settings"}

    roster.configure(row, config={"greeting": "good day"}, secrets={"token": "from-row"})

    assert roster.read_config(roster.get_partner("x")) == {"greeting": "good day", "token": "from-row"}


def test_secrets_are_unreadable_at_rest_and_kept_when_not_given() -> None:
    roster.configure(roster.get_partner("akave"), config={}, secrets={"token": "PLANTED-MARKER"})
    roster.configure(roster.get_partner("akave"), config={"greeting": "hi"})

    row = roster.get_partner("akave")
    assert b"PLANTED-MARKER" not in bytes(row.secrets or b"")
    assert roster.read_config(row) == {"greeting": "hi", "token": "PLANTED-MARKER"}
    assert row.version == 3


def test_secrets_of_another_row_are_an_error_of_the_configuration() -> None:
    row = roster.get_partner("akave")
    row.secrets = vault.seal_json({"token": "t"}, "partners", "another")

    with pytest.raises(MisconfiguredError, match=r"^akave: its stored secrets cannot be opened: "):
        roster.read_config(row)


def test_an_adapter_is_built_once_for_each_version_of_its_configuration() -> None:
    closed: list[str] = []
    first = roster.get_adapter(roster.get_partner("akave"))
    first.close = lambda: closed.append("first")  # type: ignore[method-assign]
    same = roster.get_adapter(roster.get_partner("akave"))
    roster.configure(roster.get_partner("akave"), config={"greeting": "hi"})

    fresh = roster.get_adapter(roster.get_partner("akave"))

    assert same is first
    assert fresh is not first
    assert closed == ["first"]
    assert fresh.config["greeting"] == "hi"


def test_a_check_is_remembered_for_its_version_only() -> None:
    row = roster.get_partner("akave")
    assert roster.check_adapter(row) == []
    assert roster.get_partner("akave").checked_version == 1

    roster.configure(row, config={"greeting": "hi"})
    roster.check_adapter(row)

    assert roster.get_partner("akave").checked_version == 1


# --- states and dependence


def test_pausing_and_resuming_say_who_and_why() -> None:
    row = roster.get_partner("akave")

    roster.pause(row, reason="maintenance", by="ann")
    paused = Partner.objects.values_list("state", "state_reason", "state_by").get(name="akave")
    at = Partner.objects.get(name="akave").state_at
    roster.resume(row, by="bob")

    assert paused == ("paused", "maintenance", "ann")
    assert at is not None
    assert Partner.objects.values_list("state", "state_reason", "state_by").get(name="akave") == ("on", "", "bob")


def test_dependents_are_those_that_require_it(settings: Any) -> None:
    settings.PARTNERS = partners_of(second="NeedsAkave", third="NeedsAkave") | {
        "broken": {"BACKEND": "nothing", "OPTIONS": {}}
    }

    assert roster.find_dependents("akave") == ["second", "third"]
    assert roster.find_dependents("second") == []
    assert roster.requirements(roster.get_partner("broken")) == ()


def test_a_partners_queue_is_its_adapters(settings: Any) -> None:
    settings.PARTNERS = partners_of() | {"broken": {"BACKEND": "nothing", "OPTIONS": {}}}

    assert roster.queue(roster.get_partner("akave")) == "sync.fake"
    assert roster.queue(roster.get_partner("broken")) == "dataunion"
    assert FakePartner.adapter == "fake"


@pytest.mark.parametrize("name", ["total", "Akave", "a__b", "a.b", "a b", "1a", "_a", "a_", "", "a-", "$a"])
def test_a_name_that_breaks_paths_or_statistics_is_no_name(name: str) -> None:
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError):
        Partner(name=name, adapter="webhook").full_clean()


@pytest.mark.parametrize("name", ["akave", "my-hook", "my_hook", "a1", "totals", "x-total"])
def test_a_plain_name_is_a_name(name: str) -> None:
    Partner(name=name, adapter="webhook").full_clean()


def test_the_system_pauses_a_partner_that_is_as_it_was_read() -> None:
    row = roster.get_partner("akave")

    assert roster.pause_misconfigured(row, reason="HTTP 403") is True

    assert Partner.objects.values_list("state", "state_reason", "state_by").get(name="akave") == (
        "paused",
        "HTTP 403",
        "system",
    )


@pytest.mark.parametrize("change", [{"state": "off"}, {"version": 2}, {"checked_version": 9}])
def test_the_system_leaves_alone_what_a_person_changed_meanwhile(change: dict[str, Any]) -> None:
    row = roster.get_partner("akave")
    Partner.objects.filter(name="akave").update(**change)
    before = Partner.objects.values("state", "state_reason").get(name="akave")

    assert roster.pause_misconfigured(row, reason="HTTP 403") is False

    assert Partner.objects.values("state", "state_reason").get(name="akave") == before
