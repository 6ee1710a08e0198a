"""Keys are made with the scopes and the end that were asked for."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from dataunion import access
from dataunion.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", "write"]])
def test_a_key_needs_scopes_that_exist(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="scopes should be one or more of: ingest, read, admin"):
        access.make_key(name="x", scopes=scopes)

    assert not ApiKey.objects.exists()


def test_scopes_are_kept_once_and_in_order() -> None:
    row, _ = access.make_key(name="x", scopes=["read", "ingest", "read"])

    assert row.scopes == ["ingest", "read"]


def test_the_command_prints_a_key_that_works() -> None:
    out, err = StringIO(), StringIO()

    call_command("create_api_key", "--scope=read", "--scope=ingest", "--name=etl", "--days=2", stdout=out, stderr=err)

    key = out.getvalue().strip()
    row = access.find_key(key, timezone.now())
    assert (row.name, row.scopes) == ("etl", ["ingest", "read"])
    assert row.expires_at is not None
    assert timedelta(days=1, hours=23) < row.expires_at - timezone.now() <= timedelta(days=2)
    assert "Key of etl: may ingest, read, until " in err.getvalue()
    assert key not in err.getvalue()


def test_the_command_makes_a_key_without_an_end_unless_told() -> None:
    err = StringIO()

    call_command("create_api_key", "--scope=admin", stdout=StringIO(), stderr=err)

    assert ApiKey.objects.get().expires_at is None
    assert "Key of service: may admin, for ever." in err.getvalue()


@pytest.mark.parametrize(
    "arguments", [["--scope=write"], [], ["--scope=read", "--days=0"], ["--scope=read", "--days=nan"]]
)
def test_the_command_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_key", *arguments, stdout=StringIO(), stderr=StringIO())

    assert not ApiKey.objects.exists()
