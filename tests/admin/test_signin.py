"""One-time sign-in links and the command that prints them."""

from __future__ import annotations

from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode

from dataunion import access, signin
from dataunion.models import User
from tests.factories import PASSWORD, AdminFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db


def make_link(**options: Any) -> str:
    out = StringIO()
    call_command("create_admin", stdout=out, stderr=StringIO(), **options)
    return out.getvalue().strip()


def path_of(link: str) -> str:
    return urlsplit(link).path


def test_the_command_makes_an_administrator_and_prints_a_link() -> None:
    link = make_link(username="ada", email="ada@example.org")

    user = User.objects.get()
    assert (user.username, user.email, user.is_superuser, user.is_staff) == ("ada", "ada@example.org", True, True)
    assert not user.has_usable_password()
    assert link.startswith(f"{settings.BASE_URL}/admin/sign-in/")


def test_an_administrator_is_in_the_group_of_administrators() -> None:
    group, _ = Group.objects.get_or_create(name=access.ADMIN)

    make_link()
    make_link()

    assert list(User.objects.get().groups.all()) == [group]


def test_the_command_finds_the_one_there_is() -> None:
    make_link()
    make_link()

    assert User.objects.get().username == "admin"


def test_the_command_raises_nobody_to_administrator() -> None:
    UserFactory(username="victor")

    with pytest.raises(CommandError, match="victor is there and is no administrator"):
        make_link(username="victor")


def test_an_embedded_instance_is_migrated_first(settings: Any) -> None:
    settings.EMBEDDED = True

    assert "/admin/sign-in/" in make_link()


def test_a_link_signs_in_once() -> None:
    path, browser = path_of(make_link()), Client()

    asked, done = browser.get(path), browser.post(path)
    again, late = Client().get(path), Client().post(path)

    assert (asked.status_code, done.status_code, done.headers["Location"]) == (200, 302, "/admin/")
    assert browser.get("/admin/").status_code == 200
    assert (again.status_code, late.status_code) == (410, 410)
    assert "This link was used already" in again.content.decode()


def test_opening_a_link_does_not_use_it_up() -> None:
    path = path_of(make_link())

    assert [Client().get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert Client().post(path).status_code == 302


def test_the_page_may_post_to_itself() -> None:
    """Browsers send `Origin: null` from a page without referrer, and Django refuses that."""
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(path_of(make_link()))

    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "no-store" in page.headers["Cache-Control"]
    token = browser.cookies["csrftoken"].value
    done = browser.post(page.request["PATH_INFO"], {"csrfmiddlewaretoken": token}, HTTP_ORIGIN="http://testserver")
    assert done.status_code == 302


def test_signing_in_ends_every_other_link() -> None:
    first, second = path_of(make_link()), path_of(make_link())

    assert [Client().post(path).status_code for path in (first, second)] == [302, 410]


def test_of_two_at_once_one_signs_in() -> None:
    make_link()
    one, other = User.objects.get(), User.objects.get()

    assert [signin.use_up(one), signin.use_up(other)] == [True, False]


@pytest.mark.parametrize(("age_s", "status"), [(24 * 3600 - 60, 200), (24 * 3600 + 60, 410)])
def test_a_link_ends_after_a_day(age_s: int, status: int) -> None:
    user = AdminFactory()
    made_s = signin.tokens._num_seconds(signin.tokens._now()) - age_s
    token = signin.tokens._make_token_with_timestamp(user, made_s, signin.tokens.secret)
    path = reverse("sign_in", args=[urlsafe_base64_encode(str(user.pk).encode()), token])

    assert Client().get(path).status_code == status


@pytest.mark.parametrize("uid", ["nonsense", "MQ", "_w", "!"])
def test_a_link_that_was_made_up_opens_nothing(uid: str) -> None:
    assert Client().post(f"/admin/sign-in/{uid}/abc-def/").status_code == 410


def test_a_link_of_someone_who_left_opens_nothing() -> None:
    user = AdminFactory()
    path = path_of(signin.make_link(user))
    User.objects.update(is_active=False)

    assert Client().post(path).status_code == 410


def test_a_password_leads_to_the_overview() -> None:
    person = StaffFactory()

    done = Client().post(reverse("admin:login"), {"username": person.username, "password": PASSWORD})

    assert (done.status_code, done["Location"]) == (302, "/admin/")
