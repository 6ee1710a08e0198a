"""The Django app."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.db.models.signals import post_migrate


class DataUnionConfig(AppConfig):
    """Registers the system checks, and fills the groups of the staff after each migration."""

    name = "dataunion"
    verbose_name = "DataUnion"

    def ready(self) -> None:
        """Import what registers itself."""
        from dataunion import checks  # noqa: F401

        # After Django's own receiver, which makes the permissions.
        post_migrate.connect(_fill_groups, sender=self, dispatch_uid="dataunion.groups")


def _fill_groups(using: str, apps: Any = installed, **_: Any) -> None:
    from dataunion import access

    access.fill_groups(apps, using)
