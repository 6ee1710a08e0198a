"""Adapters are found by short name or dotted path, and what is wrong with one is said at start."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest

from partners.base import Partner
from partners.errors import MisconfiguredError
from partners.registry import BACKENDS, build, load
from partners.webhook.adapter import WebhookPartner

SECRET = "whsec_" + "A" * 32


class WithoutSteps(Partner):
    adapter, label = "x", "X"


class WithoutMethod(Partner):
    adapter, label = "x", "X"
    steps: ClassVar[tuple[str, ...]] = ("send",)
    revoke_steps: ClassVar[tuple[str, ...]] = ("take_back",)

    def send_many(self, items, ledger):
        return {}


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_each_name_of_the_table_leads_to_its_adapter(name):
    found = load(name)

    assert (found.adapter, f"{found.__module__}.{found.__qualname__}") == (name, BACKENDS[name])


def test_no_adapter_raises_the_recursion_limit_of_the_process():
    code = "import sys; from partners import registry; [registry.load(n) for n in registry.BACKENDS]; "

    shown = subprocess.run([sys.executable, "-c", code + "print(sys.getrecursionlimit())"], capture_output=True)

    assert shown.stdout == b"1000\n"


def test_a_dotted_path_leads_to_its_adapter():
    assert load("partners.webhook.adapter.WebhookPartner") is WebhookPartner


def test_a_partner_is_built_with_its_own_name():
    partner = build("clinic", "webhook", {"url": "https://clinic.test/hook", "secret": SECRET})

    assert (partner.name, type(partner), partner.config["timeout_s"]) == ("clinic", WebhookPartner, "15")
    partner.close()


@pytest.mark.parametrize(
    ("backend", "cause"),
    [
        (
            "pigeon",
            "no adapter is called 'pigeon'; it should be one of akave, vana, webhook, or a dotted path such as ",
        ),
        ("", "no adapter is called ''"),
        (".adapter.Pigeon", "no adapter is called '.adapter.Pigeon'"),
        (
            "partners.pigeon.adapter.PigeonPartner",
            "cannot be imported: no module 'partners.pigeon'; it should be one of",
        ),
        ("partners.webhook.adapter.Nobody", "is not a class made from partners.base.Partner"),
        ("partners.errors.PartnerError", "is not a class made from partners.base.Partner"),
        ("partners.breaker.CLOSED", "is not a class made from partners.base.Partner"),
    ],
)
def test_an_unknown_adapter_is_refused_naming_valid_ones(backend, cause):
    with pytest.raises(MisconfiguredError) as caught:
        load(backend)

    assert cause in caught.value.message


@pytest.mark.parametrize(("adapter", "gaps"), [(WithoutSteps, "steps"), (WithoutMethod, "take_back")])
def test_an_adapter_with_gaps_is_refused_naming_them(adapter, gaps):
    path = f"{adapter.__module__}.{adapter.__qualname__}"

    with pytest.raises(MisconfiguredError) as caught:
        load(path)

    assert caught.value.message == f"{path} lacks {gaps}; docs/partners/adding.md says what an adapter needs"


def test_wrong_options_are_all_named():
    with pytest.raises(MisconfiguredError) as caught:
        build("clinic", "webhook", {"secret": "short", "colour": "red"})

    assert caught.value.message == (
        "clinic: colour is not an option here; "
        "secret cannot be its value; it should hold whsec_ and 24 to 64 random bytes in base64, shared with the "
        "receiver; "
        "url is not set; it should hold the receiver's URL, https://host/path"
    )
