"""The Celery app and its clock. Run: celery -A dataunion_project worker -Q …, and beat."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataunion_project.settings")

from django.conf import settings

app = Celery("dataunion")
app.conf.update(settings.CELERY)
app.autodiscover_tasks(["dataunion"])
app.conf.beat_schedule = {
    "tick": {
        "task": "dataunion.tick",
        "schedule": settings.DATAUNION.sync_tick_s,
        # A tick that nobody took is of no use later: the next one does the same.
        "options": {"queue": "dataunion", "expires": 4 * settings.DATAUNION.sync_tick_s},
    },
    "upkeep": {
        "task": "dataunion.upkeep",
        "schedule": 60.0,
        "options": {"queue": "dataunion", "expires": 120.0},
    },
}
