"""What load balancers and probes are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from dataunion.models import TaskLease
from dataunion.sync import tick


def test_the_process_is_up_whatever_the_database_does() -> None:
    response = Client().get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_it_is_ready_before_the_first_tick() -> None:
    response = Client().get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "migrations": "ok", "last_tick_s": None}


@pytest.mark.django_db
def test_the_age_of_the_last_tick_is_told() -> None:
    tick.tick()
    TaskLease.objects.filter(name="tick").update(ran_at=timezone.now() - timedelta(seconds=90))

    age_s = Client().get("/readyz").json()["last_tick_s"]

    assert 90 <= age_s < 120


@pytest.mark.django_db
def test_a_database_that_is_not_migrated_is_not_ready() -> None:
    recorder = MigrationRecorder(connection)
    [newest] = MigrationLoader(connection).graph.leaf_nodes("dataunion")
    recorder.record_unapplied(*newest)

    response = Client().get("/readyz")

    recorder.record_applied(*newest)  # nothing rolls that back on MongoDB

    assert response.status_code == 503
    found = response.json()
    assert found["status"] == "not ready"
    assert found["migrations"].endswith(" missing; run ./run manage migrate")


def test_a_database_that_cannot_be_asked_is_not_ready(tmp_path: Path) -> None:
    program = """
import django
django.setup()
from django.test import Client
response = Client(headers={"host": "localhost"}).get("/readyz")
print(response.status_code, response.content.decode())
"""
    nowhere = f"sqlite:///{tmp_path}/no/such/folder/db.sqlite3"
    env = {**os.environ, "DATABASE_URL": nowhere, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)

    status, _, body = done.stdout.partition(" ")
    assert status == "503", done.stderr
    assert json.loads(body) == {
        "status": "not ready",
        "database": "unreachable (OperationalError)",
        "migrations": "unknown",
        "last_tick_s": None,
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(path: str) -> None:
    assert Client().post(path).status_code == 405
