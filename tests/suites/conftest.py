"""Real adapters that speak to local doubles of Akave and Vana, worked in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataunion import roster
from dataunion.clock import db_now
from dataunion.models import SyncJob
from dataunion.state import Status
from dataunion.sync import engine
from tests.flows.sandboxes import Sandboxes

PATIENCE_S = 60.0
Work = Callable[..., None]


@pytest.fixture(scope="package")
def running_sandboxes() -> Iterator[Sandboxes]:
    running = Sandboxes("suites")
    yield running
    running.stop()


@pytest.fixture
def sandboxes(running_sandboxes: Sandboxes, settings: Any, db: None) -> Iterator[Sandboxes]:
    """Return the doubles; the partners akave and vana are the real adapters."""
    settings.PARTNERS = {
        "akave": {"BACKEND": "akave", "OPTIONS": running_sandboxes.akave_options()},
        "vana": {"BACKEND": "vana", "OPTIONS": running_sandboxes.vana_options()},
    }
    roster.forget_adapters()
    yield running_sandboxes
    running_sandboxes.disarm()
    roster.forget_adapters()


@pytest.fixture
def work() -> Work:
    """Return `work(*partners, until=…)`: be the worker of these partners until something is so; no retry is delayed."""

    def push(*partners: str, until: Callable[[], Any]) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < give_up_at, f"not done after {PATIENCE_S} s"
            SyncJob.objects.filter(status=Status.RETRYING).update(due_at=db_now())
            for partner in partners:
                engine.push(partner)
            time.sleep(0.02)

    return push
