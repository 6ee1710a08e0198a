"""rotate_keys: wrap everything that is sealed with the newest of DATAUNION_VAULT_KEYS."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from dataunion.rotation import rotate


class Command(BaseCommand):
    """Wraps anew, table by table; may be stopped and run again."""

    help = (
        "Wrap all sealed data with the first key of DATAUNION_VAULT_KEYS. First put the new key in front (generate_key "
        "makes one) and restart every process; then run this until it says that the older keys can go."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, with a line for each page."""
        tallies = {}
        for tally in rotate():
            tallies[tally.table] = tally
            self.stderr.write(f"{tally.table}: {tally.looked_at} looked at, {tally.rewrapped} wrapped anew")
        problems = [problem for tally in tallies.values() for problem in tally.problems]
        for problem in problems:
            self.stderr.write(problem)
        rewrapped = sum(tally.rewrapped for tally in tallies.values())
        if problems:
            self.stdout.write(f"{rewrapped} wrapped anew, {len(problems)} could not be opened; keep the older keys")
            sys.exit(1)
        if rewrapped:
            self.stdout.write(f"{rewrapped} wrapped anew; run this once more before the older keys go")
            return
        self.stdout.write("Everything is wrapped with the newest key; the older keys can go")
