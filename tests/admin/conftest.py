"""Who looks: an administrator, an operator who may retry and pause, a viewer who may only look."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from dataunion import roster
from dataunion.models import SyncJob, User
from partners.testing import FakePartner
from tests.factories import AdminFactory, StaffFactory

_SEEN = ("dataunion", "syncjob", "syncattempt", "retryrun", "partner")


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
    user: User = StaffFactory(username="vera")
    user.user_permissions.add(*Permission.objects.filter(codename__in=[f"view_{name}" for name in _SEEN]))
    return user


@pytest.fixture
def admin(db: None) -> Client:
    """Return an administrator's browser."""
    return sign_in(AdminFactory(username="ada"))


@pytest.fixture
def viewer(db: None) -> Client:
    """Return a viewer's browser."""
    return sign_in(make_viewer())


@pytest.fixture
def operator(db: None) -> Client:
    """Return an operator's browser."""
    user = make_viewer()
    kind = ContentType.objects.get_for_model(SyncJob)
    operate, _ = Permission.objects.get_or_create(codename="operate", content_type=kind, defaults={"name": "operate"})
    user.user_permissions.add(operate)
    return sign_in(user)
