"""generate_key: print a new key for DATAUNION_VAULT_KEYS or DATAUNION_DIGEST_KEY."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from dataunion import vault


class Command(BaseCommand):
    """Prints 32 random bytes in base64."""

    help = "Print a new key for DATAUNION_VAULT_KEYS (put it in front, then rotate_keys) or DATAUNION_DIGEST_KEY."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        self.stdout.write(vault.new_key())
