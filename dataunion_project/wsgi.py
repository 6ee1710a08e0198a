"""The web server's entry point."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from dataunion_project import watch

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataunion_project.settings")
settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # static files are found where they are, or collected there
application = get_wsgi_application()
watch.keep_watch()
