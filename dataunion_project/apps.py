"""Django's own apps with MongoDB's key type; used with MongoDB only."""

from __future__ import annotations

from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.auth.apps import AuthConfig
from django.contrib.contenttypes.apps import ContentTypesConfig

from dataunion_project import pipelines

_KEY = "django_mongodb_backend.fields.ObjectIdAutoField"


class MongoAdminConfig(SimpleAdminConfig):
    """django.contrib.admin."""

    default_auto_field = _KEY


class MongoAuthConfig(AuthConfig):
    """django.contrib.auth."""

    default_auto_field = _KEY


class MongoContentTypesConfig(ContentTypesConfig):
    """django.contrib.contenttypes; with it the backend is set right."""

    default_auto_field = _KEY

    def ready(self) -> None:
        """Let orders come from indexes."""
        super().ready()
        pipelines.install()
