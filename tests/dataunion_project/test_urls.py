"""The admin's pages are loaded where they are served, and by no worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import django
import dataunion_project.celery
django.setup()
import dataunion.tasks
from django.contrib import admin
from django.urls import reverse
loaded = ["dataunion.admin" in sys.modules, len(admin.site._registry) > 0]
reverse("admin:dataunion_syncjob_changelist")
print(loaded, len(admin.site._registry) > 0)
"""


def test_pages_are_loaded_when_an_address_is_asked_for_the_first_time(tmp_path: Path) -> None:
    env = {**os.environ, "DATAUNION_VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dataunion_project.settings"}

    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (run.stdout, run.returncode) == ("[False, False] True\n", 0), run.stderr
