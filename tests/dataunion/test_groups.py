"""The groups of the staff: made by a migration, filled after each, never emptied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import post_migrate

from dataunion import access
from tests.database import own_database

OURS = [model._meta.model_name for model in apps.get_app_config("dataunion").get_models()]


def read_group(name: str) -> set[str]:
    found = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in found}


def fill() -> None:
    for name in (access.VIEWER, access.OPERATOR, access.ADMIN):
        Group.objects.get_or_create(name=name)
    access.fill_groups(apps, "default")


@pytest.mark.django_db
def test_each_group_holds_what_its_people_need() -> None:
    fill()

    viewer, operator, admin = map(read_group, (access.VIEWER, access.OPERATOR, access.ADMIN))
    assert viewer == {f"dataunion.view_{name}" for name in OURS if name not in ("user", "apikey")}
    assert {"dataunion.operate"} <= operator - viewer <= {"dataunion.operate", "dataunion.export_person"}
    every = {f"dataunion.{act}_{name}" for act in ("add", "change", "delete", "view") for name in OURS}
    of_groups = {f"auth.{act}_group" for act in ("add", "change", "delete", "view")}
    assert every | operator | of_groups | {"admin.view_logentry"} <= admin
    assert not [name for name in admin if name.startswith(("auth.", "admin.")) and "_group" not in name][1:]


@pytest.mark.parametrize(
    ("group", "app", "codename", "expected"),
    [
        (access.VIEWER, "dataunion", "view_alertrule", True),
        (access.VIEWER, "dataunion", "change_alertrule", False),
        (access.VIEWER, "dataunion", "view_apikey", False),
        (access.VIEWER, "dataunion", "operate", False),
        (access.VIEWER, "admin", "view_logentry", False),
        (access.VIEWER, "auth", "view_group", False),
        (access.OPERATOR, "dataunion", "view_alertrule", True),
        (access.OPERATOR, "dataunion", "view_user", False),
        (access.OPERATOR, "dataunion", "operate", True),
        (access.OPERATOR, "dataunion", "export_person", True),
        (access.OPERATOR, "other", "operate", False),
        (access.ADMIN, "dataunion", "delete_alertrule", True),
        (access.ADMIN, "dataunion", "add_user", True),
        (access.ADMIN, "auth", "change_group", True),
        (access.ADMIN, "auth", "change_permission", False),
        (access.ADMIN, "admin", "view_logentry", True),
        (access.ADMIN, "admin", "delete_logentry", False),
    ],
)
def test_models_that_come_later_fall_under_the_rule(group: str, app: str, codename: str, expected: bool) -> None:
    assert access.holds(group, app, codename) is expected


@pytest.mark.django_db
def test_what_an_administrator_added_stays_and_what_is_missing_comes() -> None:
    fill()
    group = Group.objects.get(name=access.VIEWER)
    before = read_group(access.VIEWER)
    group.permissions.add(Permission.objects.get(codename="view_apikey"))
    group.permissions.remove(Permission.objects.get(codename="view_syncjob"))

    config = apps.get_app_config("dataunion")
    post_migrate.send(config, app_config=config, verbosity=0, interactive=False, using="default", apps=apps)

    assert read_group(access.VIEWER) == before | {"dataunion.view_apikey"}


@pytest.mark.django_db
def test_a_group_that_was_deleted_stays_deleted() -> None:
    fill()
    Group.objects.get(name=access.OPERATOR).delete()

    access.fill_groups(apps, "default")

    assert set(Group.objects.values_list("name", flat=True)) == {"viewer", "admin"}


def test_a_new_database_and_an_upgraded_one_have_full_groups(
    tmp_path: Path, django_db_setup: None, django_db_blocker: Any
) -> None:
    with django_db_blocker.unblock(), own_database("groups", tmp_path):
        fresh = read_group(access.ADMIN)
        call_command("migrate", "dataunion", "0004", verbosity=0)
        Group.objects.all().delete()
        old = MigrationExecutor(connection).loader.applied_migrations
        call_command("migrate", verbosity=0)
        upgraded = read_group(access.ADMIN)

    assert ("dataunion", "0009_groups") not in old
    assert "dataunion.add_apikey" in fresh
    assert fresh == upgraded
