"""The watch of every web and worker process: a clock that stands is noticed without beat, broker, worker or request."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dataunion.clock import db_now
from dataunion.models import Incident, TaskLease
from dataunion_project.watch import Watch

ROOT = Path(__file__).resolve().parents[2]
STARTS = """
import threading
import dataunion_project
{start}
print([thread.daemon for thread in threading.enumerate() if thread.name == "watch"])
"""


def ran(task: str, at: datetime) -> None:
    TaskLease.objects.update_or_create(name=task, defaults={"ran_at": at})


@pytest.fixture
def watch(transactional_db: None) -> Iterator[Watch]:
    """Return a watch that looks all the time, once it is started."""
    watch = Watch(first_s=0.01, every_s=0.05)
    yield watch
    watch.stop()


def test_it_notices_that_the_clock_stands(watch: Watch) -> None:
    dead_since = db_now() - timedelta(minutes=3)
    ran("tick", dead_since)
    ran("alerts", dead_since)
    watch.start()

    deadline = time.monotonic() + 30
    while not Incident.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    assert [row.rule for row in Incident.objects.all()] == ["clock"]


@pytest.mark.parametrize(
    "start",
    [
        "import dataunion_project.wsgi",
        "from celery.signals import worker_init\nfor _ in range(2): worker_init.send(sender=None)",
    ],
    ids=["web", "worker"],
)
def test_webs_and_workers_start_one(tmp_path: Path, start: str) -> None:
    env = {**os.environ, "DATAUNION_VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dataunion_project.settings"}

    run = subprocess.run(
        [sys.executable, "-c", STARTS.format(start=start)],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.stdout, run.returncode) == ("[True]\n", 0), run.stderr
