"""Folder: write each record to a file of its own, read it back, and delete it when it is taken back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Any, ClassVar

from partners.base import Item, Partner, Rewind, Saved, Verdict
from partners.errors import MisconfiguredError, PermanentError, TransientError
from partners.requirements import Option


class FolderPartner(Partner):
    """Saved: {"file": "ab/ab12…", "sha256": "…"}; the file's name is the item's once_id, so a repeat overwrites."""

    adapter: ClassVar[str] = "folder"
    label: ClassVar[str] = "Folder"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="folder", holds="the absolute path of a folder that exists", pattern="/.*"),
    )
    steps: ClassVar[tuple[str, ...]] = ("write", "confirm")
    revoke_steps: ClassVar[tuple[str, ...]] = ("remove",)
    payload_steps: ClassVar[frozenset[str]] = frozenset({"write"})

    def check(self) -> Sequence[str]:
        """Write a file and delete it."""
        with self._decides("check"):
            self._put("00/check", b"").unlink()
        return ("the folder can be written to",)

    def write(self, item: Item) -> Saved:
        """Write the whole file or none of it."""
        if item.payload is None:
            raise ValueError("write needs the payload")
        name = f"{item.once_id[:2]}/{item.once_id}"
        with self._decides("write"):
            self._put(name, item.payload)
        return {"file": name, "sha256": hashlib.sha256(item.payload).hexdigest()}

    def confirm(self, item: Item) -> Saved | Rewind:
        """Read the file back; one that is gone or spoilt is written again, three times at most."""
        with self._decides("confirm"):
            if self._holds(item):
                return {}
        rewrites = item.saved.get("rewrites", 0)
        if rewrites == 3:
            raise PermanentError(f"{self.name}: confirm: the file was spoilt four times; check the disk", kind="spoilt")
        return Rewind(step="write", changes={"rewrites": rewrites + 1}, after_s=1.0)

    def remove(self, item: Item) -> Saved:
        """Delete the file; one that is gone already is as good."""
        with self._decides("remove"):
            self._path(item.saved["file"]).unlink(missing_ok=True)
        return {}

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return {"file", "sha256"}."""
        return {"file": item.saved["file"], "sha256": item.saved["sha256"]}

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Let staff search by the file's name."""
        return (("file", item.saved["file"]),)

    def verify(self, item: Item) -> Verdict:
        """Compare the file with what was written."""
        with self._decides("verify"):
            present = self._holds(item)
        return Verdict(present=present, detail="the file is there" if present else "the file is gone or spoilt")

    def _path(self, name: str) -> Path:
        return Path(self.config["folder"], name)

    def _holds(self, item: Item) -> bool:
        try:
            content = self._path(item.saved["file"]).read_bytes()
        except FileNotFoundError:
            return False
        return bool(hashlib.sha256(content).hexdigest() == item.saved["sha256"])

    def _put(self, name: str, content: bytes) -> Path:
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)  # never the folder itself: it may be a disk that is not mounted
        handle, draft = mkstemp(prefix=".draft-", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
            return Path(draft).replace(path)
        except OSError:
            Path(draft).unlink()
            raise

    @contextmanager
    def _decides(self, step: str) -> Iterator[None]:
        """Turn an error of the disk into a decision: a full disk passes, a folder that is missing does not."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            message = f"{self.name}: {step}: the folder cannot be used ({error.strerror}); mount it or correct its path"
            raise MisconfiguredError(message) from error
        except OSError as error:
            raise TransientError(f"{self.name}: {step}: the disk refuses ({error.strerror})") from error
