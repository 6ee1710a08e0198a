"""Which data type has a loader, by settings.LOADERS: {"health": {"BACKEND": dotted path, "OPTIONS": {…}}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from dataunion.loaders.base import Loader, LoaderConfigError

_built: dict[str, Loader] = {}


def find_loader(data_type: str) -> Loader | None:
    """Return the loader of a data type, or None where its data is ours alone. Raises LoaderConfigError."""
    if data_type not in settings.LOADERS:
        return None
    if data_type not in _built:
        _built[data_type] = _build(settings.LOADERS[data_type])
    return _built[data_type]


def _build(row: Mapping[str, Any]) -> Loader:
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
    while setting == "LOADERS" and _built:
        _built.popitem()[1].close()
