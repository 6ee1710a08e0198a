"""The fake partner does what it is planned to do."""

from collections.abc import Iterator

import pytest

from partners.base import Item
from partners.errors import PermanentError
from partners.testing import FakePartner, run_steps


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    FakePartner.reset()


ITEM = Item(record_id="r", partner="fake", user_hash="u", data_type="health", data_id="d", payload=b"data")


def test_instances_of_one_name_share_their_service() -> None:
    run_steps(FakePartner("one", {}), ITEM)

    assert FakePartner.service("one").objects == {ITEM.once_id: b"data"}
    assert FakePartner.service("one").calls == [("keys", "r"), ("store", "r"), ("confirm", "r")]
    assert FakePartner.service("two").objects == {}


def test_a_planned_error_before_the_effect_leaves_nothing() -> None:
    service = FakePartner.service("fake")
    service.plan("store", PermanentError("no"))

    with pytest.raises(PermanentError):
        run_steps(FakePartner("fake", {}), ITEM)

    assert service.objects == {}
    assert service.called("store") == 1


def test_a_planned_error_after_the_effect_leaves_the_effect() -> None:
    service = FakePartner.service("fake")
    service.plan("store", PermanentError("no"), when="after")

    with pytest.raises(PermanentError):
        run_steps(FakePartner("fake", {}), ITEM)

    assert service.objects == {ITEM.once_id: b"data"}


def test_a_planned_call_gets_the_item() -> None:
    seen: list[str] = []
    FakePartner.service("fake").plan("confirm", lambda item: seen.append(item.record_id))

    run_steps(FakePartner("fake", {}), ITEM)

    assert seen == ["r"]


def test_store_without_payload_is_a_bug() -> None:
    with pytest.raises(ValueError, match="payload"):
        FakePartner("fake", {}).store(Item(record_id="r", partner="f", user_hash="u", data_type="health", data_id="d"))
