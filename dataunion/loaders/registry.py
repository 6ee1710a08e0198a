"""Which data type has a loader, by settings.LOADERS: {"health": {"BACKEND": dotted path, "OPTIONS": {…}}}."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from dataunion.loaders.base import Loader, LoaderConfigError


def find_loader(data_type: str) -> Loader | None:
    """Return the loader of a data type, or None where its data is ours alone. Raises LoaderConfigError."""
    return _build(data_type) if data_type in settings.LOADERS else None


@cache
def _build(data_type: str) -> Loader:
    row = settings.LOADERS[data_type]
    try:
        found = import_string(row["BACKEND"])
    except ImportError as error:
        raise LoaderConfigError(
            f"it cannot be imported ({error}); it should hold the dotted path of a loader"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Loader)):
        raise LoaderConfigError("it should hold the dotted path of a class made from dataunion.loaders.base.Loader")
    return found(row["OPTIONS"])


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting == "LOADERS":
        _build.cache_clear()
