"""The Celery app. Run: celery -A dataunion_project worker -Q dataunion,sync.akave,…, and one or two beats."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataunion_project.settings")

from dataunion_project import alive, watch

app = Celery("dataunion")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["dataunion"])
alive.show(app)
watch.watch_in_workers()
