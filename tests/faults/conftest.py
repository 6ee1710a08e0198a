"""One database, one set of local doubles and one house for the whole matrix; each test begins with empty tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.test import override_settings

from dataunion import access, roster
from partners.testing import FakePartner
from tests.database import own_database
from tests.faults.forks import ForkingLaunch, Forks
from tests.faults.union import Union
from tests.faults.way import RICH_WEI, Way
from tests.flows.house import LEASE_S, TICK_S, House
from tests.flows.sandboxes import FINALIZED_DEPTH, HOOK_SECRET, Sandboxes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(autouse=True, scope="session")
def _static_folder() -> None:
    """Make the folder that whitenoise warns of when it is missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="package")
def django_db_setup(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[str]:
    """Give the address of a database of the matrix' own: workers are processes, and see no test's transaction."""
    with django_db_blocker.unblock(), own_database("faults", tmp_path_factory.mktemp("faults")) as url:
        yield url


@pytest.fixture(autouse=True)
def database(django_db_setup: str, django_db_blocker: Any) -> Iterator[str]:
    """Give the address of the database, in which nothing stands; partners are FakePartners unless a fixture says."""
    with django_db_blocker.unblock():
        for model in apps.get_app_config("dataunion").get_models():
            model._default_manager.all().delete()
        FakePartner.reset()
        roster.forget_adapters()
        yield django_db_setup
        roster.forget_adapters()
        connection.close()


@pytest.fixture(scope="package")
def running_sandboxes() -> Iterator[Sandboxes]:
    running = Sandboxes("faults")
    yield running
    running.stop()


def options_of(sandboxes: Sandboxes) -> dict[str, dict[str, str]]:
    """Return each partner's options for these doubles."""
    hook = {**sandboxes.hook_options(), "secret": HOOK_SECRET}
    return {"akave": sandboxes.akave_options(), "vana": sandboxes.vana_options(), "hook": hook}


@pytest.fixture
def sandboxes(running_sandboxes: Sandboxes, database: str) -> Iterator[Sandboxes]:
    """Give the doubles, disarmed and empty of objects; akave, vana and hook are the real adapters."""
    running_sandboxes.disarm()
    running_sandboxes.begin()
    backends = {"akave": "akave", "vana": "vana", "hook": "webhook"}
    given = {name: {"BACKEND": backends[name], "OPTIONS": o} for name, o in options_of(running_sandboxes).items()}
    with override_settings(PARTNERS=given):
        roster.find_partners()
        yield running_sandboxes
    running_sandboxes.disarm()


@pytest.fixture
def union(sandboxes: Sandboxes) -> Union:
    """Give the system in this process."""
    return Union(sandboxes)


@pytest.fixture
def way(union: Union) -> Iterator[Way]:
    """Give Vana's way, on a chain that goes on only when told to."""
    with union.sandboxes.chain.held():
        yield Way(union)
    union.sandboxes.ask_chain("sandbox_setBalance", Way(union).signer, RICH_WEI)
    union.sandboxes.chain.node.finalized_depth = FINALIZED_DEPTH


@pytest.fixture(scope="package")
def environment(running_sandboxes: Sandboxes, django_db_setup: str) -> dict[str, str]:
    """Give the environment of all processes of ours."""
    options = options_of(running_sandboxes)
    return {
        **os.environ,
        **{f"{partner.upper()}_{key.upper()}": value for partner in options for key, value in options[partner].items()},
        "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        "DATABASE_URL": django_db_setup,
        "DATAUNION_PARTNERS": "akave,vana,hook",
        "HOOK_BACKEND": "webhook",
        "DATAUNION_SYNC_LEASE_S": str(LEASE_S),
        "DATAUNION_SYNC_TICK_S": str(TICK_S),
        "DATAUNION_LOG_LEVEL": "DEBUG",
    }


@pytest.fixture(scope="package")
def forks(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Give short-lived workers, one process for each piece of work."""
    running = Forks(environment, tmp_path_factory.mktemp("forks"))
    yield running
    running.end()


@pytest.fixture(scope="package")
def running_house(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    launch = ForkingLaunch(environment)
    house = House(tmp_path_factory.mktemp("house"), environment, launch)
    try:
        house.start_broker()
        house.start("web")
        yield house
    finally:
        house.end()
        launch.end()


@pytest.fixture
def house(running_house: House, sandboxes: Sandboxes) -> Iterator[House]:
    """Give the house with broker and web server running, and nothing else of it."""
    running_house.api_key = access.make_key(name="faults", scopes=["admin"])[1]
    with override_settings(DATAUNION=replace(settings.DATAUNION, sync_lease_s=LEASE_S, sync_tick_s=TICK_S)):
        yield running_house
    running_house.stop_workers()
    running_house.start_broker()
    running_house.start("web")
