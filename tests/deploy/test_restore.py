"""The backup of an SQLite file by the very command of docs/operations.md, and what comes back from it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from dataunion import reconcile, vault
from dataunion.diagnosis import indexes, keys
from dataunion.diagnosis.findings import Level
from dataunion.models import DataUnion, HealthData, SyncJob
from dataunion.sync import engine
from tests.dataunion.work import hand_in
from tests.deploy.containers import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_only("file")]


def back_up(database: Path, copy: Path) -> None:
    """Run the documented command, with these paths."""
    [program] = re.findall(r'`\.venv/bin/python -c "(.*?)"`', (ROOT / "docs" / "operations.md").read_text())
    mapped = program.replace("var/local/dataunion.sqlite3", str(database)).replace("backup.sqlite3", str(copy))
    subprocess.run([sys.executable, "-c", mapped], check=True)


def bring_back(database: Path, copy: Path) -> None:
    connection.close()
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    shutil.copy(copy, database)


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    """Have a synced and an open record backed up, a later one lost, and the backup brought back."""
    database, copy = Path(str(connection.settings_dict["NAME"])), tmp_path / "backup.sqlite3"
    hand_in("synced", b'{"n":1}')
    engine.push("akave")
    hand_in("open", b'{"n":2}')
    back_up(database, copy)
    hand_in("lost")
    bring_back(database, copy)
    return database


def test_a_restored_backup_holds_what_it_held_and_goes_on(restored: Path) -> None:
    assert sorted(DataUnion.objects.values_list("data_id", flat=True)) == ["open", "synced"]
    payloads = {vault.open_sealed(bytes(row.payload), "healthdata", row.pk) for row in HealthData.objects.all()}
    assert payloads == {b'{"n":1}', b'{"n":2}'}
    assert {f.level for f in (*keys.look(), *indexes.look())} == {Level.OK}
    assert reconcile.audit_everything(dry=True, tell=lambda _: None).repaired == {}

    engine.push("akave")

    assert not SyncJob.objects.filter(partner="akave").exists()


def test_without_the_keys_of_its_time_a_backup_stays_closed_and_the_doctor_says_so(
    restored: Path, settings: Any
) -> None:
    settings.VAULT_KEYS = [vault.new_key()]

    [found, _] = keys.look()

    assert found.level == Level.PROBLEM
    assert found.remedy == "put back the key that sealed them, at the end of DATAUNION_VAULT_KEYS"
