"""The driver takes items through steps as the engine does; the ledger hands out nonces as the database does."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from partners.base import Item, Ledger, Partner, Rewind, SignedTx
from partners.errors import BlockedError, NotReady, PermanentError, TransientError, UnknownOutcome
from partners.testing import MemoryLedger, run_chunk, run_steps
from partners.testing.driver import merged


class Scripted(Partner):
    """Answers each step from a list, oldest first; the last one stays."""

    adapter, label = "scripted", "Scripted"
    steps = ("one", "two")
    payload_steps = frozenset({"two"})

    def __init__(self, **script: list[Any]) -> None:
        super().__init__("scripted", {})
        self.script = script
        self.seen: list[tuple[str, bytes | None]] = []

    def one(self, item: Item) -> Any:
        return self._answer("one", item)

    def two(self, item: Item) -> Any:
        return self._answer("two", item)

    def _answer(self, step: str, item: Item) -> Any:
        self.seen.append((step, item.payload))
        answers = self.script.get(step, [{}])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Signing(Partner):
    adapter, label = "signing", "Signing"
    steps = ("sign",)

    def sign_many(self, items: Sequence[Item], ledger: Ledger) -> Mapping[str, Any]:
        return {i.record_id: {"nonce": ledger.sign(i, "sign", 0, make_tx).nonce} for i in items}


def make_item(number: int = 0, **fields: Any) -> Item:
    record_id = f"record-{number}"
    return Item(
        record_id=record_id, partner="p", user_hash="u", data_type="health", data_id="d", payload=b"{}", **fields
    )


def make_tx(nonce: int, mark: str = "a") -> SignedTx:
    return SignedTx(nonce=nonce, tx_hash=f"0x{mark}{nonce}", raw=b"raw")


def test_results_are_merged_and_none_removes_a_key() -> None:
    partner = Scripted(one=[{"a": 1, "b": 2}], two=[{"b": None}])

    assert run_steps(partner, make_item(saved={"c": 3})).saved == {"a": 1, "c": 3}


def test_only_payload_steps_get_the_payload() -> None:
    partner = Scripted()

    run_steps(partner, make_item())

    assert partner.seen == [("one", None), ("two", b"{}")]


def test_a_rewind_goes_back_with_its_changes() -> None:
    partner = Scripted(one=[{"a": 1}, {}], two=[Rewind(step="one", changes={"a": None, "b": 1}), {}])

    assert run_steps(partner, make_item()).saved == {"b": 1}
    assert [step for step, _ in partner.seen] == ["one", "two", "one", "two"]


@pytest.mark.parametrize("wait", [NotReady("early", after_s=1), UnknownOutcome("lost")])
def test_a_wait_runs_the_step_again(wait: Exception) -> None:
    partner, waits = Scripted(one=[wait, wait, {}]), list[float]()

    run_steps(partner, make_item(), wait=waits.append)

    assert len(waits) == 2


def test_a_wait_beyond_the_deadline_is_raised() -> None:
    partner = Scripted(one=[NotReady("early", after_s=1)])

    with pytest.raises(NotReady, match="early"):
        run_steps(partner, make_item(), deadline_s=0.05)


def test_going_back_for_ever_ends_at_the_deadline() -> None:
    partner = Scripted(two=[Rewind(step="one")])

    with pytest.raises(TimeoutError, match="still at step"):
        run_steps(partner, make_item(), deadline_s=0.05)


def test_transient_errors_spend_attempts() -> None:
    errors = [TransientError("1"), TransientError("2"), {}]

    assert run_steps(Scripted(one=list(errors)), make_item(), attempts=3).saved == {}
    with pytest.raises(TransientError, match="2"):
        run_steps(Scripted(one=list(errors)), make_item(), attempts=2)


@pytest.mark.parametrize("error", [PermanentError("no"), BlockedError("no"), ValueError("bug")])
def test_other_errors_end_the_item(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_steps(Scripted(one=[error]), make_item(), attempts=9)


def test_a_many_step_gets_the_whole_chunk_and_the_ledger() -> None:
    done = run_chunk(Signing("signing", {}), [make_item(0), make_item(1)], MemoryLedger(first_nonce=7))

    assert [item.saved for item in done] == [{"nonce": 7}, {"nonce": 8}]


def test_what_is_saved_must_survive_json() -> None:
    with pytest.raises(AssertionError, match="plain JSON"):
        merged({}, {"when": (1, 2)})


def test_the_ledger_signs_a_place_once() -> None:
    ledger, item = MemoryLedger(), make_item()

    first = ledger.sign(item, "register", 0, make_tx)

    assert ledger.sign(item, "register", 0, lambda nonce: make_tx(nonce, "b")) is first
    assert ledger.sign(item, "register", 1, make_tx).nonce == 1
    assert [tx.nonce for tx in ledger.find(item, "register")] == [0, 1]
    assert ledger.find(make_item(1), "register") == []


def test_the_ledger_keeps_both_hashes_of_a_replaced_nonce() -> None:
    ledger, item = MemoryLedger(first_nonce=5), make_item()
    ledger.sign(item, "register", 0, make_tx)

    newest = ledger.replace(item, "register", 0, lambda nonce: make_tx(nonce, "b"))

    assert [tx.tx_hash for tx in ledger.find(item, "register")] == ["0xa5", "0xb5"]
    assert ledger.unmined == [newest]
    assert ledger.sign(item, "register", 0, make_tx) is newest


def test_the_ledger_holds_back_what_is_too_much() -> None:
    ledger = MemoryLedger(max_unmined=2)
    for number in range(2):
        ledger.sign(make_item(number), "register", 0, make_tx)

    with pytest.raises(NotReady):
        ledger.sign(make_item(2), "register", 0, make_tx)
    ledger.mined = 1

    assert ledger.sign(make_item(2), "register", 0, make_tx).nonce == 2
    assert [tx.nonce for tx in ledger.unmined] == [1, 2]
