"""Stores for the tests of loaders: one in memory, and a collection of a MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dataunion.loaders.base import Loaded, Loader, LoaderError, Reference

PATH = f"{__name__}.ShelfLoader"
SHELF: dict[str, dict[str, Any]] = {"health": {"BACKEND": PATH, "OPTIONS": {}}}


class ShelfLoader(Loader):
    """Finds what a test put on the shelf, by data_id; raises what a test put into `trouble`."""

    shelf: ClassVar[dict[str, Any]] = {}
    trouble: ClassVar[list[Exception]] = []
    asked: ClassVar[int] = 0

    @classmethod
    def reset(cls) -> None:
        """Empty the shelf."""
        cls.shelf.clear()
        cls.trouble.clear()
        cls.asked = 0

    def load(self, references: Sequence[Reference]) -> Mapping[Reference, Loaded | LoaderError]:
        """Look at the shelf; what is an exception there, and no LoaderError, is raised."""
        type(self).asked += 1
        if self.trouble:
            raise self.trouble[0]
        found = {one: self.shelf[one.data_id] for one in references if one.data_id in self.shelf}
        for thing in found.values():
            if isinstance(thing, Exception) and not isinstance(thing, LoaderError):
                raise thing
        return found
