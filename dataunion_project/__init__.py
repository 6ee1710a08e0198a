"""Settings, URLs and entry points of the deployment."""

from dataunion_project.celery import app as celery_app

__all__ = ["celery_app"]
