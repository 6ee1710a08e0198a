"""One house and one set of local doubles for all flows; before each test the database is empty and nothing ticks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.test import override_settings

from dataunion import access, roster
from tests.database import own_database
from tests.flows.house import LEASE_S, TICK_S, House
from tests.flows.sandboxes import Sandboxes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="package")
def sandboxes() -> Iterator[Sandboxes]:
    running = Sandboxes("flows")
    yield running
    running.stop()


@pytest.fixture(scope="package")
def django_db_setup(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[str]:
    """Give the address of a database of the flows' own: workers are processes, and see no test's transaction."""
    with django_db_blocker.unblock(), own_database("flows", tmp_path_factory.mktemp("flows")) as url:
        yield url


@pytest.fixture(scope="package")
def running_house(
    sandboxes: Sandboxes, django_db_setup: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    env = {
        **os.environ,
        **sandboxes.environment(),
        "DJANGO_SETTINGS_MODULE": "tests.flows.settings",
        "DATABASE_URL": django_db_setup,
        "DATAUNION_PARTNERS": "akave,vana",
        "DATAUNION_SYNC_LEASE_S": str(LEASE_S),
        "DATAUNION_SYNC_TICK_S": str(TICK_S),
        "DATAUNION_LOG_LEVEL": "DEBUG",
    }
    house = House(tmp_path_factory.mktemp("house"), env)
    try:
        house.start_broker()
        house.start("web")
        yield house
    finally:
        house.end()


@pytest.fixture
def house(running_house: House, sandboxes: Sandboxes, django_db_blocker: Any) -> Iterator[House]:
    """Give the house with broker and web running, perhaps idle workers, no beat, and an empty database."""
    names = {"akave": {"BACKEND": "akave", "OPTIONS": {}}, "vana": {"BACKEND": "vana", "OPTIONS": {}}}
    with django_db_blocker.unblock(), override_settings(PARTNERS=names):
        for model in apps.get_app_config("dataunion").get_models():
            model._default_manager.all().delete()
        roster.find_partners()
        running_house.api_key = access.make_key(name="flows", scopes=["admin"])[1]
        yield running_house
        running_house.stop("beat", "beat2", "akave2")
        sandboxes.disarm()
