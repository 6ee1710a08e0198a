"""The soak's world: every process of production at its default settings, doubles of the partners, one database."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.chronicle import Chronicle
    from tests.flows.house import House
    from tests.flows.sandboxes import Sandboxes

HOOK_NAME = "hook"
# Which partner's jobs a worker holds; what the house calls clock works for the webhook, too.
HOLDS = {"akave": "akave", "vana": "vana", "clock": HOOK_NAME}
BLOCK_S = 0.5


class World:
    """What the acts act upon."""

    def __init__(self, folder: Path, house: House, sandboxes: Sandboxes, chronicle: Chronicle | None) -> None:
        self.folder, self.house, self.sandboxes, self.chronicle = folder, house, sandboxes, chronicle


@contextmanager
def open_world(database: str) -> Iterator[World]:
    """Start everything but the workers, on "sqlite" or "mongodb"; end it all afterwards. The folder stays."""
    with ExitStack() as held:
        folder = Path(tempfile.mkdtemp(prefix="dataunion-soak-"))
        url = _database_url(database, folder, held)
        os.environ.update(
            DATAUNION_VAR_DIR=str(folder), DATABASE_URL=url, DJANGO_SETTINGS_MODULE="tests.faults.settings"
        )
        os.environ.update(DATAUNION_PARTNERS=f"akave,vana,{HOOK_NAME}", HOOK_BACKEND="webhook")
        os.environ.update(DATAUNION_LOG_LEVEL="INFO", VANA_MAX_UNMINED="64")

        from tests.flows.sandboxes import HOOK_SECRET, Sandboxes

        sandboxes = Sandboxes("soak", block_s=BLOCK_S)
        held.callback(sandboxes.stop)
        hook = {**sandboxes.hook_options(), "secret": HOOK_SECRET}
        options = {"akave": sandboxes.akave_options(), "vana": sandboxes.vana_options(), HOOK_NAME: hook}
        for partner, its in options.items():
            os.environ.update({f"{partner.upper()}_{name.upper()}": value for name, value in its.items()})
        os.environ["VANA_POLL_S"] = str(BLOCK_S)
        chronicle = _set_up_django()
        yield World(folder, _start_house(folder, held), sandboxes, chronicle)


def _database_url(database: str, folder: Path, held: ExitStack) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder}/soak.sqlite3"
    from tests.mongodb import serve

    return held.enter_context(serve())


def _set_up_django() -> Chronicle | None:
    """Make the tables, and enrol nobody but check-ins with Vana, whose chain is the slowest of the doubles."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from dataunion import roster
    from dataunion.models import Partner
    from tests.faults.chronicle import Chronicle

    call_command("migrate", verbosity=0)
    roster.find_partners()
    Partner.objects.filter(name="vana").update(data_types=["checkin"])
    if connection.vendor != "sqlite":
        return None
    chronicle = Chronicle()
    chronicle.install()
    return chronicle


def _start_house(folder: Path, held: ExitStack) -> House:
    from dataunion import access
    from tests.flows.house import House

    house = House(folder, os.environ)
    held.callback(house.end)
    house.api_key = access.make_key(name="soak", scopes=["admin"])[1]
    house.start_broker()
    house.start("web")
    return house
