"""SQL as MongoDB is: every statement stands for itself, no transaction holds any together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


class Untransacted:
    """Makes of a backend's connection one on which `atomic` opens nothing, and so has nothing to take back."""

    def _start_transaction_under_autocommit(self) -> None:
        return

    def _savepoint_allowed(self) -> bool:
        return False

    def validate_no_broken_transaction(self) -> None:
        """Agree: there is none to be broken."""


@contextmanager
def without_transactions() -> Iterator[None]:
    """Give this thread such a connection for a while."""
    usual = connections["default"]
    wrapper = type("DatabaseWrapper", (Untransacted, type(usual)), {})
    connections["default"] = wrapper(usual.settings_dict)
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = usual
