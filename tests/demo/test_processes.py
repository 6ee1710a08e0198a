"""The demo's processes are started, heard, killed by their id and ended together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.processes import RESTARTS, Processes, StartError

SLEEPS = "import signal; signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{{}}', flush=True); {SLEEPS}"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "log", {**os.environ, "TOLD": "by its environment"})
    yield made
    made.stop_all()


def eventually(is_so: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_process_has_its_environment_and_a_log(processes: Processes, tmp_path: Path) -> None:
    processes.start("one", "-c", "import os, sys; print(os.environ['TOLD']); print('an error', file=sys.stderr)")

    eventually(lambda: processes.find_ended() == ["one"])

    assert sorted((tmp_path / "log" / "one.log").read_text().split("\n")) == ["", "an error", "by its environment"]


def test_a_server_is_heard_when_it_is_ready(processes: Processes) -> None:
    processes.start("server", "-c", f"""print('{{"url": "http://x"}}', flush=True); {SLEEPS}""", answers=True)

    assert processes.read_answer("server") == {"url": "http://x"}
    assert processes.find_ended() == []


@pytest.mark.parametrize("code", ["", "print('no JSON')", "raise SystemExit('broken')"])
def test_a_server_that_does_not_start_is_named_with_its_log(processes: Processes, tmp_path: Path, code: str) -> None:
    processes.start("server", "-c", code, answers=True)

    with pytest.raises(StartError) as caught:
        processes.read_answer("server")

    assert str(caught.value) == f"server did not start; its log: {tmp_path / 'log' / 'server.log'}"


def test_a_process_that_says_nothing_is_not_waited_for(processes: Processes) -> None:
    processes.start("quiet", "-c", SLEEPS)

    with pytest.raises(StartError):
        processes.read_answer("quiet")


def test_a_killed_process_is_found_and_started_again(processes: Processes) -> None:
    processes.start("worker", "-c", f"print('{{}}', flush=True); {SLEEPS}", answers=True)
    processes.read_answer("worker")

    processes.kill("worker")
    assert processes.find_ended() == ["worker"]
    processes.restart("worker")

    assert processes.read_answer("worker") == {}
    assert processes.find_ended() == []


def test_ctrl_c_reaches_the_demo_and_not_its_processes(processes: Processes) -> None:
    processes.start(
        "group", "-c", f"import json, os; print(json.dumps([os.getpgid(0)]), flush=True); {SLEEPS}", answers=True
    )

    assert processes.read_answer("group") != [os.getpgid(0)]


def test_all_are_ended_also_one_that_will_not_go(processes: Processes) -> None:
    processes.start("easy", "-c", f"print('{{}}', flush=True); {SLEEPS}", answers=True)
    processes.start("stubborn", "-c", STUBBORN, answers=True)
    for name in ("easy", "stubborn"):
        processes.read_answer(name)

    processes.stop_all(patience_s=0.2)

    statuses = {name: process.returncode for name, process in processes._running.items()}
    assert statuses == {"easy": -signal.SIGTERM, "stubborn": -signal.SIGKILL}


def test_a_process_that_always_ends_is_given_up_with_its_log_named(processes: Processes, tmp_path: Path) -> None:
    processes.start("broken", "-c", "raise SystemExit(3)")
    for _ in range(RESTARTS):
        eventually(processes.find_ended)
        processes.restart_unless_hopeless("broken")
    eventually(processes.find_ended)

    with pytest.raises(StartError, match=str(tmp_path / "log" / "broken.log")):
        processes.restart_unless_hopeless("broken")
