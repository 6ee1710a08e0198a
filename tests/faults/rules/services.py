"""I2, I3, I5 and I7 at webhook receivers and at partners in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from partners.base import PUSH, REVOKE
from partners.sandbox.control import Entry
from partners.testing import FakePartner, FakeService
from tests.faults.rules.storage import SKEW_S, withdrawn_at
from tests.faults.rules.world import Side, World
from tests.faults.violation import Violation
from tests.flows.sandboxes import Sandboxes

Told = set[tuple[str, str]]


def once_id(side: Side, kind: str = PUSH) -> str:
    """Return the digest that names this record at this partner, computed anew."""
    return hashlib.sha256(f"{side.record.pk}|{side.partner.name}|{kind}".encode()).hexdigest()


def check_receiver(world: World, sandboxes: Sandboxes, told: Told) -> Iterator[Violation]:
    """Yield what breaks an invariant at the webhook receiver."""
    asked: dict[str, list[Entry]] = defaultdict(list)
    for entry in sandboxes.hook_log():
        if entry["method"] == "POST" and not str(entry["id"]).startswith("msg_ping_"):
            asked[entry["id"]].append(entry)
    received: dict[str, list[str]] = sandboxes.receiver.view("received")
    explained = set()
    for side in world.of("webhook"):
        push, revoke = (f"msg_{once_id(side, kind)}" for kind in (PUSH, REVOKE))
        explained |= {push, revoke}
        if (str(side.record.pk), side.partner.name) not in told or asked[push]:
            found = [*_delivered(world, side, received.get(push, [])), *_asked(side, asked[push])]
            yield from (Violation(invariant, f"{side}: {what}") for invariant, what in found)
    for webhook_id in sorted(asked.keys() - explained):
        if asked[webhook_id]:
            yield Violation("I2", f"hook: delivery {webhook_id}: no record explains it")


def _delivered(world: World, side: Side, bodies: list[str]) -> Iterator[tuple[str, str]]:
    if len(set(bodies)) > 1:
        yield "I2", "its webhook-id came with different bodies"
    if not side.is_synced:
        return
    if not bodies:
        yield "I2", "synced, and no delivery was taken in"
    elif not _holds(bodies[-1], world.payloads.get(side.record.pk)):
        yield "I3", "the delivery holds other data than the record"
    if side.entry.receipt.get("webhook_id") != f"msg_{once_id(side)}":
        yield "I3", "the entry tells of another webhook-id than was sent"


def _holds(body: str, payload: bytes | None) -> bool:
    data: Any = json.loads(body)["data"]
    if payload is None:
        return False
    if "payload_base64" in data:
        return base64.b64decode(data["payload_base64"]) == payload
    return payload.strip() in body.encode()


def _asked(side: Side, entries: list[Entry]) -> Iterator[tuple[str, str]]:
    if len({entry["sha256"] for entry in entries}) > 1:
        yield "I2", "other bytes were sent at another attempt"
    if len(entries) > side.claims:
        yield "I5", f"{len(entries)} deliveries in {side.claims} claims"
    at = withdrawn_at(side.entry)
    if at is not None and side.is_withdrawn and any(entry["at"] > at + SKEW_S for entry in entries):
        yield "I7", "delivered after it was withdrawn"


def check_fakes(world: World, told: Told) -> Iterator[Violation]:
    """Yield what breaks an invariant at the partners in memory."""
    names = [name for name in world.partners if world.kind(name) == "fake"]
    services = {name: FakePartner.service(name) for name in names}
    calls = {name: Counter(list(service.calls)) for name, service in services.items()}
    explained: dict[str, set[str]] = {name: set() for name in names}
    for side in world.of("fake"):
        name = side.partner.name
        explained[name].add(once_id(side))
        is_told = (str(side.record.pk), name) in told
        found = [*_stored(world, side, services[name], is_told), *_called(side, calls[name], services[name])]
        yield from (Violation(invariant, f"{side}: {what}") for invariant, what in found)
    for name, service in services.items():
        for stranger in sorted(service.objects.keys() - explained[name]):
            yield Violation("I2", f"{name}: object {stranger}: no record explains it")


def _stored(world: World, side: Side, service: FakeService, is_told: bool) -> Iterator[tuple[str, str]]:
    held = service.objects.get(once_id(side))
    if side.is_withdrawn and held is not None:
        yield "I2", "withdrawn, and its object is there"
    if not side.is_synced:
        return
    if held is None:
        if not is_told:
            yield "I2", "synced, and 0 objects are there"
    elif held != world.payloads.get(side.record.pk):
        yield "I3", "the object holds other bytes than the record's data"


def _called(side: Side, calls: Counter[tuple[str, str]], service: FakeService) -> Iterator[tuple[str, str]]:
    record = str(side.record.pk)
    times = calls["store", record]
    if times > side.claims:
        yield "I5", f"stored {times} times in {side.claims} claims"
    if side.is_withdrawn and times:
        steps = [step for step, of in service.calls if of == record]
        if "remove" in steps and "store" in steps[steps.index("remove") :]:
            yield "I7", "stored after it was withdrawn"
