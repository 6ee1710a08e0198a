"""What the demo hands in, which faults it arms, what it says, and which arguments it refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from dataunion.models import DataUnion, Partner
from demo import inputs
from demo.__main__ import main
from demo.mischief import LABELS, Mischief
from demo.processes import Processes
from demo.progress import Progress, read_state
from demo.verdict import tell_faults
from demo.world import World, worker_of
from partners.sandbox.control import Server
from partners.sandbox.s3 import S3, start_s3
from tests.factories import DataUnionFactory, SyncJobFactory

PUT_FAULTS = ["put_429", "put_500", "put_timeout", "put_lost_response", "put_hold"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_the_same_documents_are_made_every_time() -> None:
    first = contents(inputs.generate())

    assert contents(inputs.generate()) == first
    assert len(first) == len(set(first.values())) == inputs.RECORDS
    assert {name.partition("/")[0] for name in first} == {"health", "checkin"}


def test_every_document_becomes_a_record_of_one_of_the_users() -> None:
    found = [source.record for source in inputs.read(inputs.generate(), "*") if source.record]

    assert len(found) == inputs.RECORDS
    assert len({record.user_hash for record in found}) <= inputs.USERS
    assert all(record.data_id.startswith(f"{record.data_type}/") for record in found)


@pytest.mark.django_db
def test_documents_are_handed_in_once_and_bad_ones_are_told(tmp_path: Path) -> None:
    for name, text in {"a.json": '"text"', "b.json": "{", "c.json": "[1]"}.items():
        (tmp_path / name).write_text(text)
    told: list[str] = []

    counts = [inputs.hand_in(inputs.read(tmp_path, "*"), told.append) for _ in range(2)]

    assert counts == [2, 0]
    assert DataUnion.objects.count() == 2
    assert [line.split(":")[:2] for line in told] == [["  refused", " b.json"]] * 2


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def s3() -> Iterator[Server]:
    server = start_s3(access_key_id="demo", secret="demo", buckets=("demo-tests",))
    yield server
    server.stop()


def mischief(s3: Server, records: int) -> Mischief:
    world = World(["akave"], ExitStack())
    world.s3_url = s3.url
    made = Mischief(world, records)
    made.arm()
    return made


@pytest.mark.parametrize("records", [40, 60, 288, 5000])
def test_every_kind_of_fault_finds_a_request_to_hit(s3: Server, records: int) -> None:
    armed = mischief(s3, records)
    assert armed.counts() == dict.fromkeys(PUT_FAULTS, 0)

    for number in range(records):
        s3.faults.take(S3.kinds_by_method["PUT"], f"object {number}")

    assert list(armed.counts()) == PUT_FAULTS
    assert min(armed.counts().values()) >= 1
    assert armed.counts()["put_hold"] == 1


def test_a_fault_that_was_never_injected_is_told(s3: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_faults(mischief(s3, 60), Progress()) is False

    said = capsys.readouterr().out
    assert f"Not injected: {', '.join(LABELS[kind] for kind in PUT_FAULTS)}" in said


@pytest.mark.django_db
def test_who_is_killed_without_a_job_is_not_the_last(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    armed = mischief(s3, 60)
    armed.world.processes = processes = Processes(tmp_path, os.environ)
    monkeypatch.setattr(Mischief, "_is_held", lambda self, kind: self.counts()[kind] > self._holds[kind])
    processes.start(worker_of("akave"), "-c", "import time; time.sleep(60)")
    for number in range(60):
        s3.faults.take(S3.kinds_by_method["PUT"], f"object {number}")
    try:
        first = armed.watch()
        assert tell_faults(armed, Progress()) is False
        s3.faults.take({"put_hold"}, "the first after it")
        s3.faults.take({"put_hold"}, "another one")
        assert armed.watch() is None
        SyncJobFactory(partner="akave", status="running", lease_until=timezone.now() + timedelta(seconds=60))
        s3.faults.take({"put_hold"}, "the third")
        second = armed.watch()
    finally:
        processes.stop_all()

    assert "Not injected: SIGKILL of a worker after PUT, before save (no job was held)" in capsys.readouterr().out
    killed = "SIGKILL of a worker after PUT, before save: it held"
    assert first == f"{killed} 0 jobs; started another worker, and one that holds some is still to be killed"
    assert second == f"{killed} 1 job; started another worker"
    assert [(takeover.kind, len(takeover.left)) for takeover in armed.takeovers] == [("put_hold", 1)]


def test_with_few_records_no_fault_is_missed(s3: Server) -> None:
    assert tell_faults(mischief(s3, 5), Progress()) is True


# --- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_line_tells_each_partners_state() -> None:
    DataUnionFactory()
    SyncJobFactory(status="retrying")

    assert read_state() == (
        "akave 2/2 synced, 0 retrying, 0 failed  |  vana 1/2 synced, 1 retrying, 0 failed",
        False,
        False,
    )


@pytest.mark.django_db
def test_all_is_settled_when_nothing_is_under_way_and_synced_when_nothing_failed() -> None:
    DataUnionFactory()
    assert read_state()[1:] == (True, True)

    SyncJobFactory(status="failed")
    assert read_state()[1:] == (True, False)


@pytest.mark.django_db
def test_a_paused_partner_ends_the_waiting_with_its_reason() -> None:
    read_state()
    Partner.objects.filter(name="vana").update(state="paused", state_reason="vana: the key is wrong")
    SyncJobFactory(status="pending")

    line, settled, synced = read_state()

    assert (line.split("  |  ")[-1], settled, synced) == ("vana is paused: vana: the key is wrong", True, False)


def test_a_line_is_repeated_only_when_it_changed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()

    progress.show("one")
    progress.show("one")
    progress.say("two")

    assert [line.split("s  ")[1] for line in capsys.readouterr().out.splitlines()] == ["one", "two"]


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--partners", "vana"], "--partners should be akave or akave,vana; not without akave"),
        (["--partners", "akave,filecoin"], "--partners should be akave or akave,vana; not filecoin"),
        (["--from", "no/such/folder"], "--from: no/such/folder does not exist"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert told in capsys.readouterr().err
