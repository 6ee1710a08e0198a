"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DataUnionConfig(AppConfig):
    """Registers the system checks."""

    name = "dataunion"
    verbose_name = "DataUnion"

    def ready(self) -> None:
        """Import what registers itself."""
        from dataunion import checks  # noqa: F401
