"""SQL as MongoDB is: every statement stands for itself, no transaction holds any together, none is for many rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django.db import connections

from dataunion.models import each


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
        with patch.object(each, "is_at_hand", return_value=False):
            yield
    finally:
        connections["default"].close()
        connections["default"] = usual
