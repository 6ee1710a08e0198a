"""A DataUnion to look at, as a process of its own: real processes, local doubles, a story with real failures.

`python -m tests.screens.showroom` prints what `Showroom` holds, as one line, when the story is told; it ends with its
input.
A browser's own process knows no Django: Playwright's event loop and Django's database calls do not go together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.flows.house import LEASE_S, TICK_S, House
from tests.flows.sandboxes import HOOK_SECRET, Sandboxes

ROOT = Path(__file__).resolve().parents[2]
USERNAME, PASSWORD = "ada", "correct horse battery staple"


class ShowroomError(Exception):
    """The showroom did not open; the message ends with what it said."""


@dataclass(frozen=True)
class View:
    """A page: its name, its path, and whether it is one for people who have signed in."""

    name: str
    path: str
    signed_in: bool


@dataclass(frozen=True)
class Showroom:
    """What a visitor must know, and `ask`, which changes how things stand (`_do` says what can be)."""

    ask: Callable[[str], None]
    url: str
    views: tuple[View, ...]
    api_key: str
    hook_url: str
    hook_secret: str


@contextmanager
def open_showroom(*, patiently: bool = False) -> Iterator[Showroom]:
    """Start a showroom, wait until there is something to see, end it afterwards. Raises ShowroomError.

    Who is patient also waits until about half of the records are on the chain.
    """
    with tempfile.TemporaryDirectory(prefix="dataunion-screens-") as home, open(f"{home}/said", "w+b") as log:
        command = [sys.executable, "-m", __name__, home, *["patiently"] * patiently]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, process_group=0
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise ShowroomError(f"the showroom did not open:\n{Path(home, 'said').read_text()[-4000:]}")
            told = json.loads(line)
            try:
                yield Showroom(ask=partial(_ask, process), views=tuple(map(_view, told.pop("views"))), **told)
            finally:
                process.stdin.close()


def _ask(process: subprocess.Popen[bytes], act: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{act}\n".encode())
    process.stdin.flush()
    assert process.stdout.readline() == f"{act}\n".encode(), f"the showroom could not: {act}"


def _view(told: dict[str, Any]) -> View:
    return View(**told)


def main(home: str, *how: str) -> int:
    """Open, tell, stay until standard input ends: whoever started this has ended, in whatever way."""
    sandboxes = Sandboxes("screens")
    _set_environment(sandboxes, home)
    house = House(Path(home), os.environ)
    try:
        told = _open(house, sandboxes, patiently="patiently" in how)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            _do(line.strip(), house, sandboxes)
            sys.stdout.write(line)
            sys.stdout.flush()
    finally:
        house.end()
        sandboxes.stop()
    return 0


def _do(act: str, house: House, sandboxes: Sandboxes) -> None:
    from tests.screens import story

    acts = {
        "stop the clock": lambda: house.stop("beat"),
        "start the clock": lambda: house.start("beat"),
        "fail a lot": lambda: story.fail_a_lot(sandboxes),
    }
    acts[act]()


def _set_environment(sandboxes: Sandboxes, home: str) -> None:
    os.environ.update(
        sandboxes.environment(),
        DJANGO_SETTINGS_MODULE="tests.flows.settings",
        DATAUNION_VAR_DIR=home,
        DATABASE_URL=f"sqlite:///{home}/screens.sqlite3",
        DATAUNION_PARTNERS="akave,vana",
        DATAUNION_SYNC_LEASE_S=str(LEASE_S),
        DATAUNION_SYNC_TICK_S=str(TICK_S),
        DATAUNION_LOG_LEVEL="WARNING",
    )


def _open(house: House, sandboxes: Sandboxes, *, patiently: bool) -> dict[str, Any]:
    import django

    django.setup()
    from django.core.management import call_command

    from dataunion import access
    from tests.screens import story

    call_command("migrate", verbosity=0)
    house.api_key = access.make_key(name="research platform", scopes=["admin"])[1]
    house.start_broker()
    house.start("web", "all", "vana", "beat")
    rows = story.tell(house, sandboxes, patiently=patiently)
    return {
        "url": f"http://127.0.0.1:{house.web_port}",
        "views": [asdict(view) for view in story.find_views(rows)],
        "api_key": house.api_key,
        "hook_url": sandboxes.receiver.url,
        "hook_secret": HOOK_SECRET,
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
