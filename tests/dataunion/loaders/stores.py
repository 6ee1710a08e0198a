"""Stores for the tests of loaders: one in memory, and a collection of a MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dataunion.loaders.base import Loaded, Loader, LoaderError, Reference

PATH = f"{__name__}.ShelfLoader"
SHELF: dict[str, dict[str, Any]] = {"health": {"BACKEND": PATH, "OPTIONS": {}}}


class ShelfLoader(Loader):
    """Finds what a test put on the shelf, by data_id; raises what a test put into `trouble`."""

    shelf: ClassVar[dict[str, Loaded | LoaderError]] = {}
    trouble: ClassVar[list[Exception]] = []

    def load(self, references: Sequence[Reference]) -> Mapping[Reference, Loaded | LoaderError]:
        """Look at the shelf."""
        if self.trouble:
            raise self.trouble[0]
        return {reference: self.shelf[reference.data_id] for reference in references if reference.data_id in self.shelf}
