"""What every write did to the jobs' rows and the partners' gates, recorded by the database itself (SQLite triggers)."""

from __future__ import annotations


class Chronicle:
    """Records each change of `syncjobs` from `install` to `remove`, whoever made it, in this process or in another."""

    def install(self) -> None:
        """Begin to record; what was recorded before is forgotten."""

    def remove(self) -> None:
        """End recording, and leave nothing in the database."""

    def __enter__(self) -> Chronicle:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
