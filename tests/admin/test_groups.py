"""Groups: what they may, in words; what no box stands for stays as it is."""

from __future__ import annotations

from collections import Counter

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client

from dataunion import access
from dataunion.admin.groups import RIGHTS, read_rights
from tests.admin.conftest import sign_in
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/auth/group/"
LOOK = ("records and the page of one person", "open work and the overview", "retry runs and retry policies")


@pytest.fixture(autouse=True)
def ours(db: None) -> None:
    """Make the groups of the migration: where tests empty the tables, they are gone."""
    for name in (access.VIEWER, access.OPERATOR, access.ADMIN):
        Group.objects.get_or_create(name=name)
    access.fill_groups(apps, "default")


def last_line() -> str:
    """Return what Django's log says of the last act."""
    return LogEntry.objects.latest("action_time").change_message


def give(group: Group, *codenames: str) -> None:
    group.permissions.add(*Permission.objects.filter(codename__in=codenames))


def held(group: Group) -> set[str]:
    return set(group.permissions.values_list("codename", flat=True))


def test_every_permission_behind_the_words_is_there_and_stands_behind_one() -> None:
    known = {
        f"{app}.{codename}" for app, codename in Permission.objects.values_list("content_type__app_label", "codename")
    }
    named = Counter(name for names in RIGHTS.values() for name in names)

    assert set(named) - known == set()
    assert set(named.values()) == {1}


def test_every_list_of_the_admin_has_words() -> None:
    lists = {f"{model._meta.app_label}.view_{model._meta.model_name}" for model in django_admin.site._registry}

    assert lists - {name for names in RIGHTS.values() for name in names} == set()


@pytest.mark.parametrize(("name", "count"), [("viewer", 7), ("operator", 9), ("admin", len(RIGHTS))])
def test_the_groups_of_the_migration_may_what_they_are_for(name: str, count: int) -> None:
    assert len(read_rights(Group.objects.get(name=name))) == count


def test_a_group_shows_in_words_what_it_may(admin: Client) -> None:
    page = admin.get(f"{LIST}{Group.objects.get(name='operator').pk}/change/")

    text = page.content.decode()
    assert page.context["adminform"].form.initial["does"] == [
        "retry, pause and test connections",
        "export all that is stored about one person",
    ]
    assert ("make a group of your own" in text, "Can view" in text, "dataunion." in text) == (True, False, False)


def test_a_new_group_is_given_what_was_ticked(admin: Client) -> None:
    answer = admin.post(f"{LIST}add/", {"name": "auditors", "sees": [LOOK[2]], "does": ["make API keys"]})

    group = Group.objects.get(name="auditors")
    assert answer.status_code == 302
    assert held(group) == {"view_retryrun", "view_retrypolicy", "add_apikey"}
    assert last_line() == f"Added: Name: auditors; May look at: {LOOK[2]}; May: make API keys"


def test_what_is_no_longer_ticked_is_taken_away_and_what_has_no_box_stays(admin: Client) -> None:
    group = Group.objects.create(name="auditors")
    give(group, "view_syncjob", "view_dataunion", "view_healthdata", "view_retryrun")

    admin.post(f"{LIST}{group.pk}/change/", {"name": "auditors", "sees": [LOOK[0]]})

    assert held(group) == {"view_dataunion", "view_healthdata", "view_retryrun"}
    assert last_line() == f"Changed: May look at: {LOOK[1]}, {LOOK[0]} -> {LOOK[0]}"


def test_a_right_that_is_unheard_of_is_refused(admin: Client) -> None:
    answer = admin.post(f"{LIST}add/", {"name": "auditors", "sees": ["everything"]})

    assert (answer.status_code, Group.objects.filter(name="auditors").exists()) == (200, False)


def test_whoever_may_only_look_at_groups_reads_what_they_may() -> None:
    group, eve = Group.objects.create(name="auditors"), StaffFactory(username="eve")
    give(group, "view_group", "operate")
    eve.groups.add(group)
    browser = sign_in(eve)

    page = browser.get(f"{LIST}{group.pk}/change/").content.decode()
    answer = browser.post(f"{LIST}{group.pk}/change/", {"name": "auditors", "does": ["delete groups"]})

    assert "groups; retry, pause and test connections" in page
    assert (answer.status_code, held(group)) == (403, {"view_group", "operate"})


def test_the_log_keeps_what_a_deleted_group_was(admin: Client) -> None:
    group = Group.objects.create(name="guests")
    give(group, "view_syncjob")
    StaffFactory(username="eve").groups.add(group)

    admin.post(f"{LIST}{group.pk}/delete/", {"post": "yes"})

    assert not Group.objects.filter(name="guests").exists()
    assert last_line() == "Deleted: people: eve; permissions: view_syncjob"
    assert "Deleted: people: eve" in admin.get("/admin/admin/logentry/").content.decode()
