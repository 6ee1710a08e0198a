"""The contract suite, run on the fake partner; and proof that it catches a partner that breaks it."""

import json
from collections.abc import Iterator
from unittest import SkipTest

import pytest

from partners.base import Item, Partner
from partners.errors import TransientError, UnknownOutcome
from partners.testing import FakePartner, PartnerContract
from partners.testing.fake import FakeService


class TestFakeContract(PartnerContract):
    secret_saved = frozenset({"secret"})
    partner_class: type[FakePartner] = FakePartner

    @pytest.fixture(autouse=True)
    def service(self) -> Iterator[FakeService]:
        yield FakePartner.service("fake")
        FakePartner.reset()

    def make_partner(self) -> Partner:
        return self.partner_class("fake", {})

    def make_item(self, number: int = 0) -> Item:
        payload = json.dumps({"pulse": 60 + number}).encode()
        record_id = f"record-{number}"
        return Item(
            record_id=record_id, partner="fake", user_hash="u", data_type="health", data_id="d", payload=payload
        )

    def remote_effects(self) -> int:
        return len(FakePartner.service("fake").objects)

    def break_next(self, kind: str) -> None:
        service = FakePartner.service("fake")
        if kind == "unavailable":
            service.plan("store", TransientError("fake: store: out to lunch"))
        else:
            service.plan("store", UnknownOutcome("fake: store: no answer"), when="after")


class TestContractCatches:
    def broken(self, **parts: object) -> TestFakeContract:
        suite = TestFakeContract()
        suite.partner_class = type("Broken", (FakePartner,), parts)  # type: ignore[assignment]
        return suite

    @pytest.fixture(autouse=True)
    def _forget(self) -> Iterator[None]:
        yield
        FakePartner.reset()

    def test_a_step_that_stores_twice(self) -> None:
        def store(self: FakePartner, item: Item) -> dict[str, str]:
            objects = self.service(self.name).objects
            name = f"{item.once_id}-{len(objects)}"
            objects[name] = b""
            return {"id": name}

        suite = self.broken(store=store)

        suite.test_its_steps_lead_to_done_with_one_effect()
        for test in (
            suite.test_a_crash_before_every_save_leaves_one_effect,
            suite.test_each_step_run_twice_has_one_effect,
        ):
            with pytest.raises(AssertionError):
                test()

    def test_a_receipt_with_a_secret(self) -> None:
        suite = self.broken(receipt=lambda self, item: dict(item.saved))

        with pytest.raises(AssertionError):
            suite.test_its_receipt_is_plain_json_without_secrets()

    def test_a_message_with_the_payload(self) -> None:
        suite = self.broken()
        suite.break_next = lambda kind: FakePartner.service("fake").plan(  # type: ignore[method-assign]
            "store", TransientError('fake: store: {"pulse": 61} is refused')
        )

        with pytest.raises(AssertionError):
            suite.test_its_messages_hold_neither_payload_nor_secrets()

    def test_a_result_that_is_no_json(self) -> None:
        suite = self.broken(confirm=lambda self, item: {"pair": (1, 2)})

        with pytest.raises(AssertionError, match="plain JSON"):
            suite.test_its_steps_lead_to_done_with_one_effect()

    def test_an_object_left_behind(self) -> None:
        suite = self.broken(remove=lambda self, item: {"secret": None})

        with pytest.raises(AssertionError):
            suite.test_taking_back_leaves_nothing_and_may_be_repeated()

    def test_options_that_refuse_nothing(self) -> None:
        suite = self.broken(__init__=lambda self, name, config: FakePartner.__init__(self, name, {}))

        with pytest.raises(AssertionError, match="must be refused"):
            suite.test_an_unknown_option_is_refused_by_name()

    def test_nothing_where_a_partner_cannot(self) -> None:
        suite = self.broken(revoke_steps=())
        suite.faults = ()

        with pytest.raises(SkipTest, match="cannot take back"):
            suite.test_taking_back_leaves_nothing_and_may_be_repeated()
        with pytest.raises(SkipTest, match="no fault 'lost_response'"):
            suite.test_a_lost_response_leaves_one_effect()
