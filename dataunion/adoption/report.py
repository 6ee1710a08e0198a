"""What an adoption counts and tells: progress while it runs, findings as they come, sums at its end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dataunion.adoption.sides import Kind

EVERY_S = 1.0
_REASONS = 200  # different ones that are counted; the rest count as one

Tell = Callable[[str], None]


@dataclass
class Report:
    """The tally. `tell` writes a line at once; findings are told there, each with its document and its reason."""

    tell: Tell
    total: int = 0
    read: int = 0
    created: int = 0
    present: int = 0
    left_out: int = 0
    sides: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    payloads: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    doing: str = "reading"

    def find(self, collection: str, name: str, reason: str, beside: str = "") -> None:
        """Count what could not be read, by its reason, and tell it; `beside` is told only."""
        known = reason if reason in self.reasons or len(self.reasons) < _REASONS else "other reasons"
        self.reasons[known] += 1
        self.tell(f"{collection} {name}: {reason}{beside}")

    def so_far(self) -> str:
        """Return a line of progress."""
        if not self.read:
            return f"{self.doing} …"
        return (
            f"{self.doing}: {self.read} of {self.total} documents, {self.created} new, {self.present} already here, "
            f"{self.left_out} left out"
        )

    def sums(self, *, dry_run: bool) -> Iterator[str]:
        """Give the lines of the end."""
        made = "would come in" if dry_run else "came in"
        yield (
            f"{self.read} documents: {self.created} records {made}, {self.present} are already here, "
            f"{self.left_out} are left out."
        )
        for partner in sorted({partner for partner, _ in self.sides}):
            counts = ", ".join(f"{self.sides[partner, kind]} {kind}" for kind in Kind)
            yield f"{partner}: {counts}."
        for data_type in sorted({kind.partition(" ")[0] for kind in self.payloads}):
            found, missing = self.payloads[f"{data_type} found"], self.payloads[f"{data_type} missing"]
            elsewhere = self.payloads[f"{data_type} kept elsewhere"]
            if elsewhere:
                yield f"{data_type}: {elsewhere} payloads of new records stay where the loader reads them."
            else:
                yield f"{data_type}: {found} payloads of new records found, {missing} not."
        if self.reasons:
            yield f"{self.reasons.total()} things could not be read; each is told above:"
            for reason, count in sorted(self.reasons.items(), key=lambda one: (-one[1], one[0])):
                yield f"  {count:6}  {reason}"

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Tell how far it is every second, whatever it waits for."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(EVERY_S):
                self.tell(self.so_far())

        thread = threading.Thread(target=go_on, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
