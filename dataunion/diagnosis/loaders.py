"""The stores in which data is kept that is not ours: whether each answers."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from dataunion.diagnosis.findings import Finding, ok, problem
from dataunion.loaders.base import LoaderConfigError, Reference, StoreAwayError
from dataunion.loaders.registry import find_loader

_NOBODY = Reference("doctor", "doctor")


def look() -> Iterator[Finding]:
    """Ask each loader for a record that nobody has."""
    for data_type in settings.LOADERS:
        check, remedy = f"loader {data_type}", f"mend the store, or DATAUNION_LOADER_{data_type.upper()}_…"
        try:
            loader = find_loader(data_type)
            if loader is not None:
                loader.load([_NOBODY])
        except LoaderConfigError as error:
            yield problem(check, str(error), remedy)
        except StoreAwayError as error:
            yield problem(check, f"its store cannot be asked ({error}): its records wait", remedy)
        else:
            yield ok(check, "its store answers")
