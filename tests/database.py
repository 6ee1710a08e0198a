"""A database beside the one that pytest-django makes: no test's transaction wraps it, so other processes see it too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from tests.postgresql import create_database


@contextmanager
def own_database(name: str, folder: Path) -> Iterator[str]:
    """Have this process look at a database of this name, in the same server or in the folder; give its address."""
    before = settings.DATABASES["default"]["NAME"]
    if connection.vendor == "postgresql":
        create_database(os.environ["DATABASE_URL"], name)
    connect_to(str(folder / f"{name}.sqlite3") if connection.vendor == "sqlite" else name)
    call_command("migrate", verbosity=0)
    yield address()
    connect_to(before)


def address() -> str:
    """Return the address of the database that this process looks at, for another process' DATABASE_URL."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def connect_to(name: str) -> None:
    """Have this process look at another database."""
    connection.close()
    if connection.vendor == "mongodb":
        connection.close_pool()
    connection.settings_dict["NAME"] = name
