"""A partner of the tests, whose adapter dies of certain records: each in the way that the record itself names."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from partners.base import Item, Partner, Saved
from partners.requirements import Option


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit() -> None:
    os._exit(3)


def _recurse() -> None:
    _recurse()


def _grow() -> None:
    raise MemoryError


DEADLY: Mapping[str, Callable[[], None]] = {"kill": _kill, "exit": _exit, "abort": os.abort}
HARMFUL: Mapping[str, Callable[[], None]] = {"recursion": _recurse, "memory": _grow}


class PoisonPartner(Partner):
    """Keeps each record as a file of its folder; a record with "poison" in it is the end of whoever delivers it."""

    adapter: ClassVar[str] = "poison"
    label: ClassVar[str] = "Poison"
    options: ClassVar[tuple[Option, ...]] = (Option(name="folder", holds="the path of a folder"),)
    steps: ClassVar[tuple[str, ...]] = ("deliver",)
    payload_steps: ClassVar[frozenset[str]] = frozenset({"deliver"})

    def deliver(self, item: Item) -> Saved:
        """Keep the record, or die of it."""
        payload = item.payload or b""
        act = json.loads(payload).get("poison")
        if act:
            {**DEADLY, **HARMFUL}[act]()
        (Path(self.config["folder"]) / item.once_id).write_bytes(payload)
        return {}
