"""The demo as people run it: everything synced, every fault met on the way, and verified by a program of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.mischief import LABELS

ROOT = Path(__file__).resolve().parents[2]
OMH = ROOT.parent / "shared" / "data" / "omh" / "test-data" / "omh"
DEADLINE_S = 900
AKAVE = [kind for kind in LABELS if kind.startswith("put_")]

pytestmark = pytest.mark.slow


def run_demo(*arguments: str) -> str:
    """Run it to its end, without the cost of measuring coverage; return what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "demo", *arguments, "--exit"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


def injected(said: str) -> dict[str, int]:
    """Return how often each kind of fault was injected, as it was told."""
    found = {kind: re.search(rf"  {re.escape(label)} +(\d+)", said) for kind, label in LABELS.items()}
    return {kind: int(match[1]) for kind, match in found.items() if match}


def taken_over(said: str) -> list[int]:
    return [int(count) for count in re.findall(r"jobs taken over: (\d+), the last after \d+\.\d s", said)]


def report() -> dict[str, object]:
    found: dict[str, object] = json.loads((ROOT / "report.json").read_text())
    return found


def test_the_demo_syncs_its_records_to_akave_through_every_fault() -> None:
    said = run_demo("--partners", "akave")

    assert said.index("The first record is on akave") < said.index("faults are armed")
    assert "akave 60/60 synced, 0 retrying, 0 failed" in said
    assert list(injected(said)) == AKAVE
    assert min(injected(said).values()) >= 1
    assert [count >= 1 for count in taken_over(said)] == [True]
    assert report()["ok"] is True
    assert said.splitlines()[-1].endswith("All records are everywhere, once.")


@pytest.mark.omh
@pytest.mark.skipif(not OMH.is_dir(), reason="the Open mHealth files are not at ../shared/data/omh; they are not ours")
def test_all_open_mhealth_documents_reach_akave_and_vana_through_every_fault() -> None:
    said = run_demo("--from", str(OMH), "--include", "*/shouldPass/*.json")

    assert "akave 288/288 synced, 0 retrying, 0 failed  |  vana 288/288 synced, 0 retrying, 0 failed" in said
    assert list(injected(said)) == list(LABELS)
    assert min(injected(said).values()) >= 1
    assert [count >= 1 for count in taken_over(said)] == [True, True]
    counts = report()["counts"]
    assert isinstance(counts, dict)
    expected = {"documents": 288, "distinct_documents": 242, "objects": 288, "objects_opened": 288}
    assert expected | {"registrations": 288, "proofs": 288, "rewards": 288, "refinements": 288} == {
        name: count for name, count in counts.items() if name not in ("uploads_logged", "permissions", "proof_jobs")
    }
    assert report()["ok"] is True
