"""A whole old deployment comes in as it is, once, however often and however rudely the command is run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from dataunion import reconcile, stats, vault
from dataunion.clock import db_now
from dataunion.models import PAYLOADS, DataUnion, Partner, RemoteRef, SyncAttempt, SyncJob
from tests.database import address
from tests.dataunion.adoption.command import adopt
from tests.dataunion.adoption.old_deployment import (
    DAMAGED,
    LEFT_OUT,
    MARKER,
    SOUND,
    TWICE,
    Expected,
    fill,
    photograph,
)
from tests.dataunion.work import ago

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[3]
COUNT = 1500 if connection.vendor == "mongodb" else 5000  # SecantusDB as both takes minutes


@pytest.fixture(scope="module")
def expected(uri: str) -> Expected:
    """Fill the old database; return what is to come of it."""
    return fill(uri, count=COUNT)


def stored() -> list[Any]:
    """Return every row as it is."""
    models = (DataUnion, SyncJob, RemoteRef, *PAYLOADS.values())
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def rows() -> dict[str, Any]:
    """Return everything that came in, without what is drawn anew each time."""
    references = {r.pk: (r.user_hash, r.data_type, r.data_id) for r in DataUnion.objects.all()}
    jobs = [
        (
            references[j.record_id],
            j.partner,
            j.status,
            j.error_message,
            j.fence,
            vault.open_json(j.saved, "sync", j.record_id, j.partner),
        )
        for j in SyncJob.objects.all()
    ]
    entries = [
        (references[r.pk], r.created_at.isoformat() if r.created_at < ago(3600) else "", name, _clear(r, name))
        for r in DataUnion.objects.all()
        for name in sorted(r.partners)
    ]
    payloads = [(references[p.pk], p.digest) for model in PAYLOADS.values() for p in model._default_manager.all()]
    refs = [(references[ref.record_id], ref.partner, ref.kind, ref.value) for ref in RemoteRef.objects.all()]
    return {"entries": _sort(entries), "jobs": _sort(jobs), "payloads": _sort(payloads), "refs": _sort(refs)}


def _sort(found: list[Any]) -> list[Any]:
    return sorted(found, key=repr)


def _clear(record: DataUnion, name: str) -> dict[str, Any]:
    entry = dict(record.partners[name])
    if entry["retry_data"]:
        entry["retry_data"] = vault.open_json(vault.from_text(entry["retry_data"]), "sync", record.pk, name)
    return entry


def assert_counts(expected: Expected) -> None:
    """Say that statistics and rows are those of the old deployment."""
    totals = stats.read_totals()
    assert totals.records == DataUnion.objects.count() == expected.records
    for name in ("akave", "vana"):
        sides = {kind: expected.sides[name, kind] for kind in ("synced", "half done", "failed", "not begun")}
        told = totals.partners[name]
        assert (told.enrolled, told.synced) == (expected.records, sides["synced"])
        assert (told.failed, told.pending) == (sides["failed"], sides["half done"] + sides["not begun"])
    assert sum(model._default_manager.count() for model in PAYLOADS.values()) == expected.payloads
    assert not SyncAttempt.objects.exists()


def test_a_deployment_in_every_state_comes_in_with_the_state_it_has(uri: str, expected: Expected) -> None:
    assert set(expected.states) == {*SOUND, *LEFT_OUT, *DAMAGED, TWICE}
    before = photograph(uri)

    dry, dry_out, _ = adopt(uri, "--dry-run")
    untouched = (DataUnion.objects.count(), SyncJob.objects.count(), Partner.objects.count())
    status, out, err = adopt(uri)

    assert untouched == (0, 0, 0)
    assert (dry, status) == (1, 1)
    assert dry_out.replace("would come in", "came in") == out
    assert out.splitlines()[0] == (
        f"{COUNT} documents: {expected.records} records came in, 0 are already here, {expected.left_out} are left out."
    )
    for partner in ("akave", "vana"):
        counts = ", ".join(f"{expected.sides[partner, k]} {k}" for k in ("synced", "half done", "failed", "not begun"))
        assert f"{partner}: {counts}." in out.splitlines()
    assert f"{expected.problems} things could not be read; each is told above:" in out
    assert MARKER not in out + err
    assert not re.search("[0-9a-f]{60}", out + err)
    assert_counts(expected)
    assert reconcile.audit_slice(db_now(), dry=True).repaired == Counter()
    came_in = stored()

    again, again_out, _ = adopt(uri)

    assert again == 1
    assert again_out.splitlines()[0] == (
        f"{COUNT} documents: 0 records came in, {expected.records} are already here, {expected.left_out} are left out."
    )
    assert stored() == came_in
    assert photograph(uri) == before


def command(uri: str) -> subprocess.Popen[bytes]:
    """Start the real command on this test's database."""
    env = {**os.environ, "DATABASE_URL": address(), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    arguments = [sys.executable, "manage.py", "adopt_mongoose", "--uri", uri, "--watch", "0.1"]
    return subprocess.Popen(arguments, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_at(uri: str, records: int) -> None:
    """Start the real command, and SIGKILL it once so many records are here."""
    running = command(uri)
    give_up_at = time.monotonic() + 600
    while DataUnion.objects.count() < records and time.monotonic() < give_up_at:
        time.sleep(0.005)
    assert running.poll() is None
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


def mend() -> None:
    """Let the time pass after which the audit deletes what a killed run left without a record, and audit."""
    SyncJob.objects.update(created_at=ago(3600))
    for model in PAYLOADS.values():
        model._default_manager.update(created_at=ago(3600))
    found = reconcile.audit_everything(tell=lambda found: None)
    assert set(found.repaired) <= {"job without record", "data without record"}


def test_killed_in_the_middle_and_run_again_it_gives_the_same(uri: str, expected: Expected) -> None:
    before = photograph(uri)
    for part in (0.1, 0.4, 0.8):
        kill_at(uri, int(part * expected.records))
    assert DataUnion.objects.count() < expected.records

    assert command(uri).wait(600) == 1

    mend()
    assert_counts(expected)
    killed = rows()
    for model in (SyncJob, RemoteRef, DataUnion, *PAYLOADS.values()):
        model._default_manager.all().delete()
    assert adopt(uri)[0] == 1
    assert rows() == killed
    assert photograph(uri) == before
