"""What people see while it works: one line for all partners, rewritten on a terminal, repeated elsewhere."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says things with the seconds since the start before them."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._live = sys.stdout.isatty()
        self._shown_at = 0.0
        self._line = ""

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._live and self._line:
            sys.stdout.write("\r\x1b[K")
            self._line = ""
        sys.stdout.write(f"{time.monotonic() - self._started:6.1f} s  {text}\n")
        sys.stdout.flush()

    def show(self, line: str) -> None:
        """Show the state of things: in place on a terminal, else when it changed, at most every two seconds."""
        if self._live:
            sys.stdout.write(f"\r\x1b[K{time.monotonic() - self._started:6.1f} s  {line}")
            sys.stdout.flush()
            self._line = line
        elif line != self._line and time.monotonic() - self._shown_at > 2:
            self._shown_at = time.monotonic()
            self.say(line)
            self._line = line


def read_state() -> tuple[str, bool, bool]:
    """Return the line to show, whether all is settled, and whether all is synced."""
    from dataunion import roster, stats
    from dataunion.models import SyncJob
    from dataunion.state import PartnerState, Status

    totals = stats.read_totals()
    parts, settled, synced = [], True, True
    for name, partner in totals.partners.items():
        retrying = SyncJob.objects.filter(partner=name, status=Status.RETRYING).count()
        failed = partner.failed - retrying
        parts.append(f"{name} {partner.synced}/{totals.records} synced, {retrying} retrying, {failed} failed")
        settled = settled and not partner.pending and not retrying
        synced = synced and partner.synced == totals.records
    for row in roster.find_active():
        if row.state == PartnerState.PAUSED:
            parts.append(f"{row.name} is paused: {row.state_reason}")
            settled, synced = True, False
    return "  |  ".join(parts), settled, synced
