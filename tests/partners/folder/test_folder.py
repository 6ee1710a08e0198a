"""The folder partner: the contract of all partners, and what is its own."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from partners.base import Item, Rewind
from partners.errors import MisconfiguredError, PermanentError
from partners.folder.adapter import FolderPartner
from partners.testing import PartnerContract, run_steps

PAGE = Path(__file__).parents[3] / "docs/partners/adding.md"


def make_item(number: int = 0) -> Item:
    names = {"partner": "archive", "user_hash": "user-1", "data_type": "health", "data_id": f"day-{number}"}
    return Item(record_id=f"record-{number}", payload=b'{"steps": 9417}', **names)


class TestFolderContract(PartnerContract):
    faults: ClassVar[tuple[str, ...]] = ("unavailable",)
    test_a_lost_response_leaves_one_effect = None  # a disk gives its answer or has done nothing

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder, self.limit = tmp_path, resource.getrlimit(resource.RLIMIT_FSIZE)
        yield
        self.wait(0)

    def make_partner(self):
        return FolderPartner("archive", {"folder": str(self.folder)})

    def make_item(self, number=0):
        return make_item(number)

    def remote_effects(self):
        return sum(path.is_file() for path in self.folder.rglob("*"))

    def break_next(self, kind):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self.limit[1]))  # as if the disk were full

    def wait(self, after_s):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limit)


def test_the_file_holds_the_payload_byte_for_byte(tmp_path):
    done = run_steps(FolderPartner("archive", {"folder": str(tmp_path)}), make_item())

    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.read_bytes() == b'{"steps": 9417}'
    assert file == tmp_path / done.saved["file"]


def test_a_spoilt_file_is_noticed_and_written_again_three_times(tmp_path):
    partner = FolderPartner("archive", {"folder": str(tmp_path)})
    done = run_steps(partner, make_item())
    (tmp_path / done.saved["file"]).write_bytes(b"spoilt")

    assert partner.verify(done).present is False
    assert partner.confirm(done) == Rewind(step="write", changes={"rewrites": 1}, after_s=1.0)
    with pytest.raises(PermanentError, match="archive: confirm: the file was spoilt four times; check the disk"):
        partner.confirm(replace(done, saved={**done.saved, "rewrites": 3}))


def test_a_folder_that_is_missing_stops_the_partner_and_is_not_made(tmp_path):
    partner = FolderPartner("archive", {"folder": str(tmp_path / "unmounted")})

    for act in (partner.check, lambda: partner.write(make_item())):
        with pytest.raises(MisconfiguredError, match=r"^archive: \w+: the folder cannot be used \(No such file"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_a_step_without_its_payload_is_our_own_bug(tmp_path):
    with pytest.raises(ValueError, match="write needs the payload"):
        FolderPartner("archive", {"folder": str(tmp_path)}).write(replace(make_item(), payload=None))


def test_the_page_on_adding_a_partner_shows_this_very_file():
    code = Path(FolderPartner.__module__.replace(".", "/") + ".py")

    assert f"```python\n{(PAGE.parents[2] / code).read_text()}```\n" in PAGE.read_text()
