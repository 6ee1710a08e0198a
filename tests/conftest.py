"""Fixtures for every test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differences import find_difference


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse every connection that leaves the machine, so that a missing guard shows as a refused socket."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
            raise ConnectionRefusedError(f"tests may reach loopback only, not {address[0]}")
        return real(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _nothing_for_later() -> Iterator[None]:
    """Let no nudge that a test left for later reach the next one."""
    yield
    from dataunion.sync import dispatch

    while dispatch._later:
        dispatch._later.popitem()[1][1].cancel()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only another database can suffer."""
    from django.db import connection

    found = [(item, find_difference(item)) for item in items]
    left_out = [item for item, difference in found if difference and connection.vendor not in difference[1]]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
