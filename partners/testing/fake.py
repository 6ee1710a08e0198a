"""A partner in memory, for tests of the engine."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from partners.base import Item, Partner, Saved, Verdict
from partners.requirements import Option, Secret


@dataclass
class FakeService:
    """What a FakePartner's partner holds and was asked, and what it will do next; shared by all instances of a name."""

    objects: dict[str, bytes] = field(default_factory=dict)  # by once_id of the push
    calls: list[tuple[str, str]] = field(default_factory=list)  # (step, record id), in order
    _plans: dict[tuple[str, str], deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, step: str, *acts: Exception | Callable[[Item], Any], when: str = "before") -> None:
        """Let the next calls of `step` raise, or call, one of `acts` each, "before" or "after" its effect."""
        self._plans[step, when].extend(acts)

    def act(self, step: str, when: str, item: Item) -> None:
        """Commit what was planned for this moment, if anything."""
        with self._lock:
            plan = self._plans[step, when]
            act = plan.popleft() if plan else None
        if isinstance(act, Exception):
            raise act
        if act:
            act(item)

    def called(self, step: str) -> int:
        """Return how often a step was run."""
        return sum(name == step for name, _ in self.calls)


class FakePartner(Partner):
    """A partner in memory, for tests of the engine: `FakePartner.service(name)` is what it talks to."""

    adapter: ClassVar[str] = "fake"
    label: ClassVar[str] = "Fake"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="greeting", holds="any text", default="hello"),
        Secret(name="token", holds="any text", default="fake-token"),
    )
    steps: ClassVar[tuple[str, ...]] = ("keys", "store", "confirm")
    revoke_steps: ClassVar[tuple[str, ...]] = ("remove",)
    payload_steps: ClassVar[frozenset[str]] = frozenset({"store"})
    local_steps: ClassVar[frozenset[str]] = frozenset({"keys"})
    _services: ClassVar[dict[str, FakeService]] = {}

    @classmethod
    def service(cls, name: str) -> FakeService:
        """Return the service behind the partner of this name; the same one until `reset`."""
        return cls._services.setdefault(name, FakeService())

    @classmethod
    def reset(cls) -> None:
        """Forget every service."""
        cls._services.clear()

    def keys(self, item: Item) -> Saved:
        """Make up a name and a secret."""
        return self._do("keys", item, lambda: {"secret": f"secret-of-{item.record_id}"})

    def store(self, item: Item) -> Saved:
        """Store the payload under the item's once_id."""
        if item.payload is None:
            raise ValueError("store needs the payload")
        payload = item.payload

        def put() -> Saved:
            self.service(self.name).objects[item.once_id] = payload
            return {"id": item.once_id, "size": len(payload)}

        return self._do("store", item, put)

    def confirm(self, item: Item) -> Saved:
        """Agree to everything."""
        return self._do("confirm", item, dict)

    def remove(self, item: Item) -> Saved:
        """Forget the object."""

        def drop() -> Saved:
            self.service(self.name).objects.pop(str(item.saved.get("id")), None)
            return {"secret": None}

        return self._do("remove", item, drop)

    def _do(self, step: str, item: Item, effect: Callable[[], Saved]) -> Saved:
        service = self.service(self.name)
        service.calls.append((step, item.record_id))
        service.act(step, "before", item)
        result = effect()
        service.act(step, "after", item)
        return result

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return {"id"}."""
        return {"id": item.saved["id"]}

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return the object's id."""
        return (("fake_id", item.saved["id"]),)

    def verify(self, item: Item) -> Verdict:
        """Look whether the object is there."""
        present = item.saved.get("id") in self.service(self.name).objects
        return Verdict(present=present, detail="the object is there" if present else "the object is gone")
