"""A world of its own for each test of the Vana adapter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.partners.vana.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.stop()
