"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import _state
from kombu import Connection

from tests.dataunion.sync.nudges import Nudges, in_memory


@pytest.fixture
def nudges() -> Iterator[Nudges]:
    """Let the nudges of a test go to a broker in memory: those of threads, as all that nudge() sends are."""
    ours = _state.default_app
    with Connection("memory://localhost") as connection:
        in_memory().set_default()
        yield Nudges(connection)
    ours.set_default()
