"""Signs of life: given for what was done, never for what was tried, and nobody's trouble when they cannot be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.beat import SchedulingError

from dataunion_project import alive
from dataunion_project.beat import Clockwork


def test_where_nobody_asks_for_a_file_none_is_made(settings: Any, tmp_path: Path) -> None:
    settings.ALIVE_FILE = ""

    alive.touch()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_stops_nobody(settings: Any, tmp_path: Path) -> None:
    settings.ALIVE_FILE = str(tmp_path / "no" / "folder")

    alive.touch()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("broker", "is_shown"), [("memory://", True), ("redis://127.0.0.1:9/0", False)])
def test_a_beat_lives_as_long_as_the_broker_takes_its_messages(
    settings: Any, tmp_path: Path, broker: str, is_shown: bool
) -> None:
    settings.ALIVE_FILE = str(tmp_path / "alive")
    app = Celery("a beat", broker=broker, set_as_current=False)
    app.conf.beat_schedule = {"tick": {"task": "x", "schedule": 5.0}}
    app.conf.broker_transport_options = {"max_retries": 0}
    app.conf.task_publish_retry = False
    beat = Clockwork(app=app)

    try:
        beat.apply_async(beat.schedule["tick"])
    except SchedulingError:
        assert not is_shown

    assert (tmp_path / "alive").exists() is is_shown
