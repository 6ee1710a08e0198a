"""The partner pages: health, switches, limits, new HTTP partners."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.forms import TextInput
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dataunion import roster, vault
from dataunion.models import Partner
from partners.base import Funds, SignerReading
from partners.breaker import Breaker
from partners.errors import MisconfiguredError
from partners.sandbox.receiver import ReceiverServer, start_receiver
from partners.testing import FakePartner
from tests.factories import DataUnionFactory, HourStatFactory, PartnerFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/partner/"
SECRET = "whsec_" + "QUJD" * 12
LIMITS = {
    "max_in_flight": "20",
    "per_second": "2.5",
    "max_attempts": "7",
    "backoff_base_s": "1",
    "backoff_cap_s": "60",
}


def url(name: str, act: str = "change") -> str:
    return reverse(f"admin:dataunion_partner_{act}", args=[roster.get_partner(name).pk])


def new_partner(**changes: Any) -> dict[str, Any]:
    return {
        "name": "clinic",
        "data_types": ["health"],
        "option_url": "https://clinic.example/hook",
        "option_secret": SECRET,
        "option_old_secret": "",
        "option_timeout_s": "15",
        "option_max_answer_bytes": "65536",
        "option_allow_private": "no",
        **LIMITS,
        **changes,
    }


def test_the_list_shows_health_and_work(admin: Client) -> None:
    SyncJobFactory.create_batch(2, partner="akave")
    SyncJobFactory(partner="akave", status="pending", due_at=timezone.now() - timedelta(hours=2, minutes=1))
    broken = Breaker(open_until=(timezone.now() + timedelta(seconds=20)).timestamp())
    PartnerFactory(name="akave", breaker=broken.dump())

    page = admin.get(LIST)

    rows = {row.name: row for row in page.context["cl"].result_list}
    assert list(rows) == ["akave", "vana"]
    assert (rows["akave"].queue.failed, rows["akave"].queue.waiting, rows["vana"].queue.failed) == (2, 1, 0)
    for words in ("not answering", "answering", "2 hours ago"):
        assert words in page.content.decode()


def test_pausing_asks_for_a_reason_that_everyone_sees(operator: Client) -> None:
    asked = operator.get(url("vana", "pause"))
    empty = operator.post(url("vana", "pause"), {"reason": ""})
    done = operator.post(url("vana", "pause"), {"reason": "their chain is down"}, follow=True)

    row = roster.get_partner("vana")
    assert (asked.status_code, empty.status_code) == (200, 200)
    assert (row.state, row.state_reason, row.state_by) == ("paused", "their chain is down", "vera")
    assert "their chain is down" in done.content.decode()
    assert LogEntry.objects.get().change_message == "Paused: their chain is down (state: on -> paused)"


def test_a_partner_is_switched_off_and_on_again(operator: Client) -> None:
    operator.post(url("vana", "switch_off"), {"reason": "contract ended"})
    off = roster.get_partner("vana").state
    operator.post(url("vana", "resume"), {"next": LIST})

    row = roster.get_partner("vana")
    assert (off, row.state, row.state_reason, row.checked_version) == ("off", "on", "", 0)
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "Switched off: contract ended (state: on -> off)",
        "Resumed (was off: contract ended)",
    ]


def test_a_connection_that_works_is_said_so(operator: Client) -> None:
    page = operator.post(url("vana", "test_connection")).content.decode()

    row = roster.get_partner("vana")
    assert "It works." in page
    assert row.checked_version == row.version
    assert LogEntry.objects.get().change_message == "Tested the connection: it works"


class RefusingPartner(FakePartner):
    """A partner whose keys are wrong."""

    def probe(self) -> Iterator[str]:
        yield "the bucket is there"
        raise MisconfiguredError(f"{self.name}: check: the key is refused; put the new one into its settings")


def test_a_connection_that_fails_says_why(operator: Client) -> None:
    PartnerFactory(name="vana", adapter=f"{__name__}.RefusingPartner")

    page = operator.post(url("vana", "test_connection")).content.decode()

    assert "The bucket is there" in page
    assert "Then it stopped: vana: check: the key is refused; put the new one into its settings" in page
    assert "It works." not in page
    assert roster.get_partner("vana").checked_version == 0


def test_the_page_tells_what_the_adapter_can_do(viewer: Client) -> None:
    page = viewer.get(url("vana"))

    can = dict(page.context["abilities"])
    assert can == {
        "Takes records": True,
        "Takes records back": True,
        "Can be asked whether a record is there, byte for byte": True,
        "Its connection can be tested": False,
        "Its own names of records can be searched for": True,
        "Signs transactions on a chain": False,
    }


def test_the_page_tells_what_work_waits_for(viewer: Client) -> None:
    later = timezone.now() + timedelta(minutes=1)
    waiting = {"partner": "vana", "status": "pending", "due_at": later}
    SyncJobFactory.create_batch(2, **waiting, waits_for="vana: register: gas costs 120 gwei and more")
    SyncJobFactory(**waiting, waits_for="vana: register: block <number> is not final yet")
    SyncJobFactory(**waiting)

    page = viewer.get(url("vana"))

    assert page.context["waits"] == [
        ("vana: register: gas costs 120 gwei and more", 2),
        ("vana: register: block <number> is not final yet", 1),
    ]


def test_a_partner_that_does_not_answer_is_told_with_its_last_error(viewer: Client) -> None:
    broken = Breaker(open_until=(timezone.now() + timedelta(seconds=90)).timestamp(), trips=2)
    PartnerFactory(name="vana", breaker=broken.dump())
    for minutes, data_type in ((9, "health"), (1, "checkin"), (5, "health")):
        at = timezone.now() - timedelta(minutes=minutes)
        message = f"vana: store: HTTP 50{minutes}"
        SyncJobFactory(status="retrying", data_type=data_type, changed_at=at, error_message=message)

    page = viewer.get(url("vana"))

    assert (page.context["is_shut"], page.context["last_trouble"]) == (True, "vana: store: HTTP 501")
    assert "vana did not answer, 2 times in a row" in page.content.decode()
    assert "did not answer" not in viewer.get(url("akave")).content.decode()


class SigningPartner(FakePartner):
    """A partner whose signer has little left."""

    def look_at_funds(self) -> Funds:
        signer = SignerReading(address="0x" + "ab" * 20, balance=1.0, price_gwei=50.0)
        return Funds(signer=signer, per_record=0.1, max_price_gwei=20.0, warn_days=7.0)


def test_the_signers_panel_tells_how_long_its_balance_lasts_and_warns(viewer: Client) -> None:
    PartnerFactory(name="vana", adapter=f"{__name__}.SigningPartner")
    HourStatFactory(count=4)

    panel = viewer.get(url("vana", "signer"))

    told = {name: panel.context[name] for name in ("records_left", "daily", "days", "is_low")}
    assert told == {"records_left": 10, "daily": 4, "days": 2, "is_low": True}
    for words in ("The balance lasts 2 days, less than 7.", "gas costs 50 gwei, more than the 20", "0x" + "ab" * 20):
        assert words in panel.content.decode()


def test_a_partner_without_signer_says_so_and_one_that_cannot_be_asked_why(viewer: Client) -> None:
    assert "vana signs nothing." in viewer.get(url("vana", "signer")).content.decode()

    Partner.objects.filter(name="akave").update(adapter="nonsense")
    assert "no adapter is called" in viewer.get(url("akave", "signer")).content.decode()


@pytest.mark.parametrize("act", ["resume", "test_connection"])
def test_a_switch_is_no_link(operator: Client, act: str) -> None:
    assert operator.get(url("vana", act)).status_code == 405


@pytest.mark.parametrize("act", ["pause", "switch_off", "resume", "test_connection"])
def test_a_viewer_switches_nothing(viewer: Client, act: str) -> None:
    assert viewer.post(url("vana", act), {"reason": "why not"}).status_code == 403
    assert roster.get_partner("vana").state == "on"


def test_a_viewer_sees_a_partner_without_buttons(viewer: Client) -> None:
    assert "Pause" not in viewer.get(LIST).content.decode()
    page = viewer.get(url("vana")).content.decode()
    assert ("Pause" in page, 'name="max_in_flight"' in page) == (False, False)
    assert "Configuration in force" in page


def test_an_unknown_partner_is_not_found(operator: Client) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"

    assert operator.post(f"{LIST}{unknown}/resume/").status_code == 404
    assert operator.get(f"{LIST}{unknown}/change/").status_code == 404


def test_limits_are_changed_and_nothing_else_is_written(admin: Client) -> None:
    page = url("vana")
    form = admin.get(page).context["adminform"].form
    Partner.objects.filter(name="vana").update(breaker={"trips": 3}, gate_token="held")
    assert "name" not in form.fields

    response = admin.post(page, {**LIMITS, "data_types": ["checkin"]})

    row = roster.get_partner("vana")
    assert response.status_code == 302
    assert (row.max_in_flight, row.per_second, row.max_attempts, row.backoff_base_s) == (20, 2.5, 7, 1.0)
    assert (row.backoff_cap_s, row.data_types) == (60.0, ["checkin"])
    assert (row.breaker, row.gate_token, row.version) == ({"trips": 3}, "held", 1)


def test_limits_that_stop_a_partner_are_refused(admin: Client) -> None:
    response = admin.post(url("vana"), {**LIMITS, "max_in_flight": "0", "per_second": "-1", "max_attempts": ""})

    errors = response.context["adminform"].form.errors
    assert dict(errors) == {
        "max_in_flight": ["This should be 1 or more."],
        "per_second": ["This should be 0 or more."],
        "max_attempts": ["This field is required."],
    }


def test_the_configuration_is_shown_with_secrets_masked(admin: Client) -> None:
    row = roster.get_partner("vana")
    roster.configure(row, config={"greeting": "good day"}, secrets={"token": "planted-token"})

    page = admin.get(url("vana")).content.decode()

    assert "good day" in page
    assert "greeting:" not in page
    assert "••••••••" in page
    assert "planted-token" not in page
    assert "fake-token" not in page


def test_an_option_of_two_words_is_chosen_not_typed(admin: Client) -> None:
    page = admin.get(reverse("admin:dataunion_partner_add"))

    form = page.context["adminform"].form
    assert form.fields["option_allow_private"].choices == [("yes", "yes"), ("no", "no")]
    assert '<option value="no" selected' in str(form["option_allow_private"])
    assert isinstance(form.fields["option_url"].widget, TextInput)
    refused = admin.post(reverse("admin:dataunion_partner_add"), new_partner(option_allow_private="perhaps"))
    assert list(refused.context["adminform"].form.errors) == ["option_allow_private"]


def test_limits_that_are_whole_are_shown_without_a_fraction(admin: Client) -> None:
    Partner.objects.filter(pk=roster.get_partner("vana").pk).update(backoff_base_s=0.5, backoff_cap_s=21600)

    page = admin.get(url("vana")).content.decode()

    assert ('value="0.5"' in page, 'value="21600"' in page, "21600.0" in page) == (True, True, False)


def test_a_page_survives_secrets_that_cannot_be_opened(viewer: Client) -> None:
    roster.get_partner("vana")
    Partner.objects.filter(name="vana").update(secrets=b"\x01" + bytes(100))

    assert "put back the key that sealed this" in viewer.get(url("vana")).content.decode()


def test_a_page_names_an_adapter_that_is_missing(admin: Client) -> None:
    PartnerFactory(name="vana", adapter="nonsense")

    assert "no adapter is called &#x27;nonsense&#x27;" in admin.get(url("vana")).content.decode()


def test_an_http_partner_is_added_without_code(admin: Client) -> None:
    response = admin.post(f"{LIST}add/", new_partner())

    row = Partner.objects.get(name="clinic")
    config = roster.read_config(row)
    assert response.status_code == 302
    assert (row.adapter, row.state, row.data_types, row.max_in_flight) == ("webhook", "on", ["health"], 20)
    assert (config["url"], config["secret"]) == ("https://clinic.example/hook", SECRET)
    assert "secret" not in row.config
    assert roster.get_adapter(row).name == "clinic"
    assert SECRET not in admin.get(url("clinic")).content.decode()
    assert SECRET not in "".join(entry.change_message for entry in LogEntry.objects.all())


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"option_url": ""}, "option_url", "This field is required."),
        ({"option_url": "ftp://clinic.example"}, "option_url", "it should hold the receiver"),
        ({"option_secret": "hush"}, "option_secret", "cannot be its value; it should hold whsec_"),
        ({"option_url": "http://clinic.example/"}, "__all__", "url must begin with https://"),
        ({"name": "vana"}, "name", "This name cannot be used"),
        ({"name": "total"}, "name", "This name cannot be used"),
        ({"name": "a__b"}, "name", "This name cannot be used"),
        ({"name": "Clinic"}, "name", "Enter a valid value."),
    ],
)
def test_a_partner_that_cannot_work_is_refused(admin: Client, changes: dict[str, str], field: str, words: str) -> None:
    roster.find_partners()

    response = admin.post(f"{LIST}add/", new_partner(**changes))

    assert words in response.context["adminform"].form.errors[field][0]
    assert Partner.objects.count() == 2
    assert "hush" not in response.content.decode()


def test_an_http_partners_address_changes_and_its_secret_stays(admin: Client) -> None:
    admin.post(f"{LIST}add/", new_partner())
    before = roster.get_partner("clinic")
    form = new_partner(option_url="https://clinic.example/new", option_secret="")

    response = admin.post(url("clinic"), form)

    row = roster.get_partner("clinic")
    assert response.status_code == 302
    assert roster.read_config(row)["url"] == "https://clinic.example/new"
    assert vault.open_json(row.secrets, "partners", row.pk) == {"secret": SECRET}
    assert row.version == before.version + 1


def test_a_partner_is_not_deleted(admin: Client) -> None:
    row = roster.get_partner("vana")

    assert admin.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Partner.objects.filter(name="vana").exists()


def test_whoever_may_not_change_partners_adds_none(operator: Client) -> None:
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(url("vana"), LIMITS).status_code == 403


def test_a_new_partner_leads_to_the_older_records(admin: Client) -> None:
    DataUnionFactory()

    response = admin.post(f"{LIST}add/", new_partner(), follow=True)

    assert response.redirect_chain[0][0] == url("clinic", "backfill")
    assert "clinic is on: records that come in from now on are sent there." in response.content.decode()


def deliver(browser: Client, **changes: Any) -> str:
    return browser.post(f"{LIST}test-delivery/", new_partner(**changes)).content.decode()


@pytest.fixture
def receiver() -> Iterator[ReceiverServer]:
    server = start_receiver(secret=SECRET)
    yield server
    server.stop()


def test_a_test_delivery_arrives_before_anything_is_saved(admin: Client, receiver: ReceiverServer) -> None:
    page = deliver(admin, option_url=f"{receiver.url}/hook", option_allow_private="yes")

    assert "It works." in page
    assert "The receiver answered a signed ping with" in page
    assert [entry["status"] for entry in receiver.log()] == [204]
    assert not Partner.objects.filter(name="clinic").exists()


def test_a_test_delivery_that_fails_says_why(admin: Client) -> None:
    refused = deliver(admin, option_url="http://127.0.0.1:9/", option_allow_private="yes")
    unfinished = deliver(admin, option_url="", option_secret="hush")

    assert "It works." not in refused + unfinished
    assert "clinic: check" in refused
    assert "URL: This field is required." in unfinished
    assert "hush" not in unfinished


def test_only_who_may_add_partners_sends_a_test_delivery(operator: Client, admin: Client) -> None:
    assert operator.post(f"{LIST}test-delivery/", new_partner()).status_code == 403
    assert admin.get(f"{LIST}test-delivery/").status_code == 405
