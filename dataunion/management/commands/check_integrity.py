"""check_integrity: find and mend what a crash between two writes left half done; exit 1 if something stays wrong."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dataunion.clock import db_now
from dataunion.integrity.findings import Findings, Kind
from dataunion.reconcile import audit_everything, audit_slice

_QUIET_S = 2.0


class Command(BaseCommand):
    """Looks at what the clock looks at every minute, or with --all at every row."""

    help = (
        "Find and mend what a crash between two writes, or a hand in the database, left half done. Safe beside live "
        "work; may be stopped and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how much to look at, and whether to write."""
        parser.add_argument("--all", action="store_true", help="walk through every row, not a bounded part")
        parser.add_argument("--dry-run", action="store_true", help="write nothing; exit 1 if something is wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        """Audit, then print what was looked at and what was found."""
        dry, self._told_at = options["dry_run"], time.monotonic()
        found = audit_everything(dry=dry, tell=self._tell) if options["all"] else audit_slice(db_now(), dry=dry)
        self._print_tables(found)
        total, failed = found.repaired.total(), found.failed.total()
        if not total and not failed:
            self.stdout.write("Nothing is wrong")
            return
        self.stdout.write(f"{total} {'to repair' if dry else 'repaired'}, {failed} could not be repaired")
        if dry or failed:
            sys.exit(1)

    def _tell(self, found: Findings) -> None:
        if time.monotonic() - self._told_at > _QUIET_S:
            self._told_at = time.monotonic()
            looked_at = ", ".join(f"{what} {n}" for what, n in found.looked_at.items())
            self.stderr.write(f"looked at so far: {looked_at}; wrong: {found.repaired.total()}")

    def _print_tables(self, found: Findings) -> None:
        for what, n in found.looked_at.items():
            self.stdout.write(f"{what:<36} {n:>9} looked at")
        did = "to repair" if found.dry else "repaired"
        for kind in Kind:
            told = [f"{found.repaired[kind]:>9} {did}"] + [f"{n} failed" for n in (found.failed[kind],) if n]
            self.stdout.write(f"{kind:<36} {', '.join(told)}")
