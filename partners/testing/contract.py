# ruff: noqa: S101 - these are tests
"""The suite that each adapter's tests inherit."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from unittest import SkipTest

from partners.base import PUSH, REVOKE, Item, Ledger, Partner, StepResult
from partners.errors import MisconfiguredError, PartnerError
from partners.testing.driver import ask, merged, run_chunk


class PartnerContract:
    """What every adapter must keep. Subclass it as `TestXContract` and fill in the hooks.

    `secret_saved` names what is saved and must never be shown. `faults` lists what `break_next` can do: "unavailable"
    (the partner answers that it cannot, nothing has happened), "lost_response" (it did as asked, its answer is lost).
    """

    secret_saved: ClassVar[frozenset[str]] = frozenset()
    faults: ClassVar[tuple[str, ...]] = ("unavailable", "lost_response")
    effects_after_revoke: ClassVar[int] = 0

    def make_partner(self) -> Partner:
        """Return an adapter configured for the sandbox."""
        raise NotImplementedError

    def make_item(self, number: int = 0) -> Item:
        """Return a fresh item with a payload; another `number`, another record."""
        raise NotImplementedError

    def remote_effects(self) -> int:
        """Count the logical things that the partner now holds for our items: objects, registrations, deliveries."""
        raise NotImplementedError

    def break_next(self, kind: str) -> None:
        """Let the partner misbehave once, at the next request that has an effect."""
        raise NotImplementedError

    def make_ledger(self, partner: Partner) -> Ledger | None:
        """Return a ledger for partners that sign transactions."""
        return None

    def wait(self, after_s: float) -> None:
        """Let a little time pass at the partner between polls: mine a block, say."""
        time.sleep(after_s)

    def _run(self, partner: Partner, *items: Item, ledger: Ledger | None = None, **options: Any) -> list[Item]:
        ledger = ledger or self.make_ledger(partner)
        return run_chunk(partner, items, ledger, wait=self.wait, **options)

    def _broken(self, kind: str) -> None:
        if kind not in self.faults:
            raise SkipTest(f"this partner's sandbox has no fault {kind!r}")
        self.break_next(kind)

    def _secrets(self, partner: Partner, item: Item) -> list[str]:
        config = [partner.config[option.name] for option in partner.options if option.secret]
        return [
            secret for secret in (*config, *(str(item.saved.get(name, "")) for name in self.secret_saved)) if secret
        ]

    def test_its_names_and_steps_are_declared(self) -> None:
        partner = self.make_partner()
        steps = (*partner.steps, *partner.revoke_steps)

        assert partner.adapter.isidentifier()
        assert partner.label
        assert partner.steps
        assert len(set(steps)) == len(steps)
        assert partner.payload_steps <= set(steps)
        assert set(partner.active_steps(PUSH)) <= set(partner.steps)
        assert not [s for s in steps if not hasattr(partner, s) and not hasattr(partner, f"{s}_many")]

    def test_its_configuration_is_checked_in_sentences(self) -> None:
        checked = self.make_partner().check()

        assert all(isinstance(sentence, str) and sentence for sentence in checked)

    def test_an_unknown_option_is_refused_by_name(self) -> None:
        partner = self.make_partner()

        message = _refusal(type(partner), {**partner.config, "no_such_option": "1"})

        assert "no_such_option is not an option" in message

    def test_a_missing_option_is_refused_by_name(self) -> None:
        partner = self.make_partner()

        for option in partner.options:
            if option.required and option.default is None:
                rest = {name: value for name, value in partner.config.items() if name != option.name}
                assert f"{option.name} is not set; it should hold" in _refusal(type(partner), rest)

    def test_its_steps_lead_to_done_with_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()

        (done,) = self._run(partner, self.make_item())

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_its_receipt_is_plain_json_without_secrets(self) -> None:
        partner = self.make_partner()
        (done,) = self._run(partner, self.make_item())

        shown = json.dumps([dict(partner.receipt(done)), [list(ref) for ref in partner.refs(done)]])

        assert json.loads(shown)[0] == partner.receipt(done)
        assert self.secret_saved <= set(done.saved)
        assert not [secret for secret in self._secrets(partner, done) if secret in shown]

    def test_each_step_run_twice_has_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()

        (done,) = self._run(partner, self.make_item(), ask=_ask_again_after_saving)

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_a_crash_before_every_save_leaves_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()

        (done,) = self._run(partner, self.make_item(), ask=_ask_again_without_saving)

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_a_lost_response_leaves_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        self._broken("lost_response")

        (done,) = self._run(partner, self.make_item(), attempts=5)

        assert self.remote_effects() == before + 1
        assert partner.verify(done).present in (True, None)

    def test_an_unavailable_partner_is_tried_again_with_one_effect(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        self._broken("unavailable")

        self._run(partner, self.make_item(), attempts=5)

        assert self.remote_effects() == before + 1

    def test_its_messages_hold_neither_payload_nor_secrets(self) -> None:
        partner, item = self.make_partner(), self.make_item()
        told: list[Exception] = []

        def ask_noting_errors(*args: Any) -> list[StepResult | Exception]:
            answers = ask(*args)
            told.extend(answer for answer in answers if isinstance(answer, Exception))
            return answers

        for number, kind in enumerate(self.faults):
            self.break_next(kind)
            (item,) = self._run(partner, self.make_item(number), attempts=5, ask=ask_noting_errors)

        text = " ".join(map(str, told))
        assert len(told) >= len(self.faults)
        assert all(isinstance(error, PartnerError) for error in told), text
        assert all(str(error).startswith(partner.name) for error in told), text
        assert (item.payload or b"").decode(errors="replace") not in text
        assert not [secret for secret in self._secrets(partner, item) if secret in text]

    def test_items_of_one_chunk_do_not_mix(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        items = [self.make_item(number) for number in range(5)]

        done = self._run(partner, *items)

        assert self.remote_effects() == before + 5
        assert len({json.dumps(partner.receipt(item), sort_keys=True) for item in done}) == 5
        assert {partner.verify(item).present for item in done} <= {True, None}

    def test_taking_back_leaves_nothing_and_may_be_repeated(self) -> None:
        partner, before = self.make_partner(), self.remote_effects()
        if not partner.revoke_steps:
            raise SkipTest("this partner cannot take back")
        (done,) = self._run(partner, self.make_item())

        (gone,) = self._run(partner, replace(done, kind=REVOKE, payload=None))
        (again,) = self._run(partner, replace(gone, kind=REVOKE))

        assert self.remote_effects() == before + self.effects_after_revoke
        assert not self.secret_saved & set(again.saved)
        assert partner.verify(again).present in (bool(self.effects_after_revoke), None)


def _refusal(kind: type[Partner], config: Mapping[str, Any]) -> str:
    try:
        kind("contract", config)
    except MisconfiguredError as error:
        return error.message
    raise AssertionError("this configuration must be refused")


def _ask_again_without_saving(
    partner: Partner, step: str, items: Sequence[Item], ledger: Ledger | None
) -> list[StepResult | Exception]:
    ask(partner, step, items, ledger)
    return ask(partner, step, items, ledger)


def _ask_again_after_saving(
    partner: Partner, step: str, items: Sequence[Item], ledger: Ledger | None
) -> list[StepResult | Exception]:
    first = ask(partner, step, items, ledger)
    kept = [answer if isinstance(answer, Mapping) else {} for answer in first]
    saved = [replace(item, saved=merged(item.saved, new)) for item, new in zip(items, kept, strict=True)]
    second = ask(partner, step, saved, ledger)
    return [
        {**new, **answer} if isinstance(answer, Mapping) else answer for new, answer in zip(kept, second, strict=True)
    ]
