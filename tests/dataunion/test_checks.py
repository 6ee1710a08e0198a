"""System checks: what is wrong with the configuration is said before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, Warning

from dataunion.checks import check_alerts, check_lease, check_partners
from tests.dataunion.work import settings_of


def test_right_partners_pass() -> None:
    assert check_partners(None) == []


def test_an_unknown_adapter_is_an_error(settings: Any) -> None:
    settings.PARTNERS = {"x": {"BACKEND": "nothing", "OPTIONS": {}}}

    [found] = check_partners(None)

    assert (found.id, type(found)) == ("dataunion.E001", Error)
    assert found.msg.startswith("no adapter is called 'nothing'; it should be one of akave, vana, webhook")


@pytest.mark.parametrize(("embedded", "level"), [(False, Error), (True, Warning)])
def test_a_missing_option_names_its_variable(settings: Any, embedded: bool, level: type) -> None:
    settings.EMBEDDED = embedded
    settings.PARTNERS = {"akave": {"BACKEND": "akave", "OPTIONS": {"endpoint_url": "https://x", "region": "r"}}}

    found = check_partners(None)

    assert {type(message) for message in found} == {level}
    assert "AKAVE_SECRET_ACCESS_KEY is not set; it should hold the secret of the access key." in [m.msg for m in found]


@pytest.mark.parametrize(("lease_s", "count"), [(2.9, 1), (3.0, 0)])
def test_a_lease_shorter_than_a_renewal_needs_is_an_error(lease_s: float, count: int) -> None:
    with settings_of(sync_lease_s=lease_s):
        assert [m.id for m in check_lease(None)] == ["dataunion.E003"] * count


@pytest.mark.parametrize(("can_send", "count"), [(False, 1), (True, 0)])
def test_addresses_for_alerts_without_a_mail_server_are_warned_of(settings: Any, can_send: bool, count: int) -> None:
    settings.ALERT_EMAILS, settings.CAN_SEND_EMAIL = ["ops@example.org"], can_send

    assert [m.id for m in check_alerts(None)] == ["dataunion.W001"] * count


def test_whoever_wants_no_alerts_needs_no_mail_server() -> None:
    assert check_alerts(None) == []
