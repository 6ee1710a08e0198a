"""Who looks: an administrator, an operator who may retry and pause, a viewer who may only look; each by a group."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client

from dataunion import access, roster
from dataunion.models import User
from partners.testing import FakePartner
from tests.factories import StaffFactory


@pytest.fixture(autouse=True, scope="session")
def _static_folder() -> None:
    """Make the folder that whitenoise warns of when it is missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _fresh_partners() -> None:
    """Forget what partners other tests built."""
    roster.forget_adapters()
    FakePartner.reset()


def sign_in(user: User) -> Client:
    """Return this person's browser."""
    client = Client()
    client.force_login(user)
    return client


def make_viewer() -> User:
    """Return a person who may look at everything about syncing."""
    return _make_member(access.VIEWER, "vera")


def make_operator(username: str = "vera") -> User:
    """Return a person who may retry, pause and resume, too."""
    return _make_member(access.OPERATOR, username)


def make_admin() -> User:
    """Return a person who may do everything, and is no superuser."""
    return _make_member(access.ADMIN, "ada")


def _make_member(group: str, username: str) -> User:
    # MongoDB's tests empty the tables, also of what migrations made.
    row, _ = Group.objects.get_or_create(name=group)
    access.fill_groups(apps, "default")
    user: User = StaffFactory(username=username)
    user.groups.add(row)
    return user


@pytest.fixture
def admin(db: None) -> Client:
    """Return an administrator's browser."""
    return sign_in(make_admin())


@pytest.fixture
def viewer(db: None) -> Client:
    """Return a viewer's browser."""
    return sign_in(make_viewer())


@pytest.fixture
def operator(db: None) -> Client:
    """Return an operator's browser."""
    return sign_in(make_operator())
