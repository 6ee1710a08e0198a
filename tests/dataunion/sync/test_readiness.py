"""Before a chunk is claimed: the configuration is checked, the breaker and the signer are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataunion import roster, vault
from dataunion.clock import db_now
from dataunion.models import ChainTx, DataUnion, Partner, Signer, SyncJob
from dataunion.sync import engine
from partners.errors import MisconfiguredError, PermanentError, TransientError
from partners.testing import FakePartner
from tests.dataunion.sync.adapters import Checked, Signs, partners_of
from tests.dataunion.work import ago, ahead, at_once, hand_in, set_partner, settings_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def checked(settings: Any) -> Iterator[str]:
    settings.PARTNERS = partners_of(x="Checked")
    Checked.checks.clear()
    yield "x"
    Checked.problem = None


@pytest.fixture
def signs(settings: Any) -> Iterator[str]:
    settings.PARTNERS = partners_of(x="Signs")
    Signs.looked_at.clear()
    yield "x"
    Signs.problem = None


def state() -> tuple[str, str]:
    found: tuple[str, str] = Partner.objects.values_list("state", "state_reason").get(name="x")
    return found


# --- configuration


def test_a_configuration_is_checked_once_for_each_version(checked: str) -> None:
    for name in "ab":
        hand_in(name)
        engine.push(checked)
    roster.configure(roster.get_partner(checked), config={"greeting": "good day"})
    hand_in("c")
    engine.push(checked)

    assert Checked.checks == ["hello", "good day"]


def test_a_check_that_finds_a_fault_pauses_the_partner(checked: str) -> None:
    hand_in()
    Checked.problem = MisconfiguredError("x: the token is refused; make a new one")

    assert engine.push(checked) == 0

    assert state() == ("paused", "x: the token is refused; make a new one")
    assert SyncJob.objects.get(partner=checked).status == "pending"


def test_a_check_that_reaches_nobody_leaves_the_partner_in_peace_for_a_while(checked: str) -> None:
    hand_in()
    Checked.problem = TransientError("x: does not answer", retry_after_s=70.0)

    assert engine.push(checked) == 0

    assert state()[0] == "on"
    assert Partner.objects.get(name="x").not_before > ahead(60)


def test_a_check_that_ends_oddly_leaves_the_partner_in_peace_for_a_tick(checked: str) -> None:
    hand_in()
    Checked.problem = PermanentError("x: answered nonsense")

    assert engine.push(checked) == 0

    assert db_now() < Partner.objects.get(name="x").not_before <= ahead(5)


def test_a_wrong_option_pauses_the_partner_and_names_it(checked: str) -> None:
    row = roster.get_partner(checked)
    roster.configure(row, config={"colour": "red"})

    assert engine.push(checked) == 0

    assert state() == ("paused", "x: colour is not an option here")


def test_secrets_that_do_not_open_pause_the_partner(checked: str) -> None:
    row = roster.get_partner(checked)
    roster.configure(row, config={}, secrets={"token": "t"})
    Partner.objects.filter(name="x").update(secrets=vault.seal_json({}, "partners", "another"))

    assert engine.push(checked) == 0

    assert state()[0] == "paused"
    assert state()[1].startswith("x: its stored secrets cannot be opened: ")


def test_an_unknown_adapter_pauses_the_partner(settings: Any) -> None:
    settings.PARTNERS = {"x": {"BACKEND": "nothing", "OPTIONS": {}}}

    assert engine.push("x") == 0

    assert state()[0] == "paused"
    assert "no adapter is called 'nothing'" in state()[1]


# --- the breaker


def half_open() -> None:
    set_partner(breaker={"open_until": ago(1).timestamp(), "trips": 1})


def open_until() -> float | None:
    found: float | None = Partner.objects.get(name="akave").breaker["open_until"]
    return found


def test_a_partner_that_fails_and_fails_is_left_alone() -> None:
    for number in range(12):
        hand_in(str(number))
    FakePartner.service("akave").plan("store", *[TransientError("akave: store: HTTP 503")] * 12)

    engine.push("akave")

    assert open_until() is not None
    hand_in("later")
    assert engine.push("akave") == 0


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    half_open()
    hand_in()

    engine.push("akave")

    assert open_until() is None


def test_a_probe_that_is_refused_with_an_answer_closes_the_breaker() -> None:
    half_open()
    hand_in()
    FakePartner.service("akave").plan("store", PermanentError("akave: store: HTTP 422", http_status=422))

    engine.push("akave")

    assert open_until() is None


def test_a_probe_that_fails_opens_it_again() -> None:
    half_open()
    hand_in()
    FakePartner.service("akave").plan("store", TransientError("akave: store: HTTP 503"))

    engine.push("akave")

    assert (open_until() or 0) > db_now().timestamp()


def test_a_probe_that_came_to_nothing_is_handed_back(settings: Any) -> None:
    hand_in(payload=None)
    half_open()

    engine.push("akave")

    assert Partner.objects.get(name="akave").breaker["probe_until"] is None
    hand_in("b")
    assert engine.push("akave") >= 1


# --- the signer


def test_a_partner_that_signs_does_so_under_the_signers_lease(signs: str) -> None:
    for name in "abc":
        hand_in(name)

    assert engine.push(signs) == 3

    assert list(ChainTx.objects.order_by("nonce").values_list("nonce", "hashes")) == [
        (0, ["0x0"]),
        (1, ["0x1"]),
        (2, ["0x2"]),
    ]
    assert Signs.looked_at == [[], [0, 1, 2]]
    assert Signer.objects.get().lease_token == ""
    assert {DataUnion.objects.get(data_id=name).entry(signs).is_synced for name in "abc"} == {True}


def test_no_more_records_begin_than_the_signer_has_room_for(signs: str) -> None:
    for number in range(17):
        hand_in(str(number))

    assert engine.push(signs) == 16

    left = SyncJob.objects.get(partner=signs)
    assert (left.status, left.fence, left.waiting_since) == ("pending", 1, None)


def test_a_worker_without_the_signers_lease_claims_nothing(signs: str) -> None:
    hand_in()
    Signer.objects.create(chain_id=5, address="0x" + "ab" * 20, lease_token="another", lease_until=ahead(30))

    assert engine.push(signs) == 0

    assert SyncJob.objects.get(partner=signs).status == "pending"


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (MisconfiguredError("x: chain 7 is not chain 5"), "paused"),
        (TransientError("x: the node does not answer"), "on"),
    ],
)
def test_a_chain_that_cannot_be_asked_is_not_worked_on(signs: str, problem: Exception, expected: str) -> None:
    hand_in()
    Signs.problem = problem

    assert engine.push(signs) == 0

    assert state()[0] == expected
    assert SyncJob.objects.get(partner=signs).status == "pending"
    assert Signer.objects.get().lease_token == ""


def test_the_signers_lease_is_renewed_with_the_jobs(signs: str) -> None:
    hand_in()
    leases: list[Any] = []
    FakePartner.service(signs).plan(
        "keys", lambda item: leases.append(at_once(lambda: Signer.objects.get().lease_until)[0]), when="after"
    )

    with settings_of(sync_lease_s=0.003):
        engine.push(signs)

    assert DataUnion.objects.get().entry(signs).is_synced
    assert len(leases) == 1


def test_a_check_with_a_bug_pauses_the_partner_and_shows_no_secret(checked: str) -> None:
    hand_in()
    Checked.problem = RuntimeError("PLANTED-MARKER")

    assert engine.push(checked) == 0

    assert state() == ("paused", "x: checking its configuration raised RuntimeError.")
