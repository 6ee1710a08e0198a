"""Users, API keys and the staff's log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from dataunion import access
from dataunion.models import ApiKey, User
from tests.factories import PASSWORD, AdminFactory, ApiKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
KEYS = "/admin/dataunion/apikey/"


def last_line() -> str:
    """Return what Django's log says of the last act."""
    return LogEntry.objects.latest("action_time").change_message


def test_a_key_is_shown_once(admin: Client) -> None:
    response = admin.post(f"{KEYS}add/", {"name": "check-ins", "scopes": ["ingest", "read"], "days": "30"})

    key = response.context["key"]
    row = access.find_key(key, timezone.now())
    assert (row.name, row.scopes) == ("check-ins", ["ingest", "read"])
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert key in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert ApiKey.objects.count() == 1
    assert LogEntry.objects.get().object_id == str(row.pk)
    assert last_line() == "Added: Name: check-ins; Scopes: ingest, read; Ends after, days: 30"
    for page in (KEYS, f"{KEYS}{row.pk}/change/", "/admin/admin/logentry/"):
        assert key not in admin.get(page).content.decode()


def test_a_key_without_scopes_is_not_made(admin: Client) -> None:
    response = admin.post(f"{KEYS}add/", {"name": "nothing"})

    assert response.context["adminform"].form.errors == {"scopes": ["This field is required."]}
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked(admin: Client) -> None:
    row = ApiKeyFactory()

    page = admin.post(f"{KEYS}{row.pk}/revoke/", follow=True).content.decode()
    again = admin.post(f"{KEYS}{row.pk}/revoke/", follow=True).content.decode()

    with pytest.raises(access.KeyRefusedError):
        access.find_key(row.key, timezone.now())
    assert "The key opens nothing any more." in page
    assert "The key opens nothing any more." not in again
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Revoked (opens: read -> nothing)"]


def test_keys_show_what_they_are_worth(admin: Client) -> None:
    now = timezone.now()
    ApiKeyFactory(name="ends", expires_at=now + timedelta(days=3))
    ApiKeyFactory(name="ended", expires_at=now - timedelta(days=3))
    ApiKeyFactory(name="lasts", expires_at=now + timedelta(days=300), last_used_at=now - timedelta(hours=5))
    ApiKeyFactory(name="revoked", revoked_at=now)

    page = admin.get(KEYS).content.decode()

    for words in ("ends soon", "expired", "good", "revoked", "5 hours ago"):
        assert words in page
    assert page.count("/revoke/") == 3


def test_keys_are_nobody_elses_business(viewer: Client) -> None:
    row = ApiKeyFactory()

    answers = [viewer.get(KEYS), viewer.get(f"{KEYS}add/"), viewer.post(f"{KEYS}{row.pk}/revoke/")]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_a_key_is_neither_changed_nor_deleted(admin: Client) -> None:
    row = ApiKeyFactory()

    answers = [
        admin.post(f"{KEYS}{row.pk}/change/", {"name": "other"}),
        admin.post(f"{KEYS}{row.pk}/delete/", {"post": "yes"}),
        admin.get(f"{KEYS}{row.pk}/revoke/"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 405]
    assert ApiKey.objects.get().name == row.name


def test_whoever_is_added_may_sign_in_and_do_what_their_groups_say(admin: Client) -> None:
    group = Group.objects.get(name="admin")
    form = {"username": "grace", "groups": [str(group.pk)], "password1": PASSWORD, "password2": PASSWORD}

    made = admin.post("/admin/dataunion/user/add/", {**form, "usable_password": "true"})

    grace, browser = User.objects.get(username="grace"), Client()
    assert made.status_code == 302
    assert (grace.is_staff, grace.is_superuser, list(grace.groups.all())) == (True, False, [group])
    assert browser.login(username="grace", password=PASSWORD)
    assert browser.get("/admin/dataunion/user/").status_code == 200
    assert last_line() == "Added: Username: grace; Groups: admin; Password: set; Password confirmation: set"


def test_people_are_listed_with_their_groups(admin: Client) -> None:
    AdminFactory(username="root")
    StaffFactory(username="nobody")

    rows = admin.get("/admin/dataunion/user/").context["cl"].result_list

    assert {row.username: row.found_groups for row in rows} == {"ada": ["admin"], "nobody": [], "root": ["everything"]}


@pytest.mark.parametrize(("usable", "words"), [(True, "Set."), (False, "None.")])
def test_a_persons_page_shows_no_digest_of_the_password(admin: Client, usable: bool, words: str) -> None:
    user = StaffFactory(username="eve")
    if not usable:
        user.set_unusable_password()
        user.save()

    page = admin.get(f"/admin/dataunion/user/{user.pk}/change/").content.decode()

    assert (words in page, "algorithm" in page, 'href="../password/"' in page) == (True, False, True)


def test_nobody_is_made_a_superuser_or_deleted_here(admin: Client) -> None:
    user = StaffFactory(username="eve")
    page = f"/admin/dataunion/user/{user.pk}/"

    admin.post(f"{page}change/", {"username": "eve", "is_active": "on", "is_staff": "on", "is_superuser": "on"})
    deleted = admin.post(f"{page}delete/", {"post": "yes"})

    assert (User.objects.get(pk=user.pk).is_superuser, deleted.status_code) == (False, 403)


def test_the_log_says_what_changed_of_a_person(admin: Client) -> None:
    user = StaffFactory(username="eve", email="eve@example.org")
    group = Group.objects.create(name="guests")
    page = f"/admin/dataunion/user/{user.pk}/"
    form = {"username": "eva", "email": "eva@example.org", "is_staff": "on", "groups": [str(group.pk)]}

    admin.post(f"{page}change/", form)
    changed = last_line()
    admin.post(f"{page}password/", {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"})

    assert (
        changed
        == "Changed: Username: eve -> eva; Email address: changed; Works here: yes -> no; Groups: none -> guests"
    )
    assert last_line() == "Changed: Password: changed"


def test_the_log_says_who_did_what(admin: Client) -> None:
    row = ApiKeyFactory(name="old service")
    admin.post(f"{KEYS}{row.pk}/revoke/")

    page = admin.get("/admin/admin/logentry/").content.decode()

    for words in ("ada", "old service", "Revoked"):
        assert words in page


def test_the_log_is_not_written_by_hand(admin: Client) -> None:
    assert admin.get("/admin/admin/logentry/add/").status_code == 403


def test_links_lead_where_a_person_may_go(viewer: Client, admin: Client) -> None:
    seen, all_ = viewer.get("/admin/").content.decode(), admin.get("/admin/").content.decode()

    assert ("/admin/dataunion/syncjob/" in seen, KEYS in seen) == (True, False)
    assert ("/admin/dataunion/syncjob/" in all_, KEYS in all_) == (True, True)


def test_staff_without_rights_and_others_see_nothing() -> None:
    newcomer, other = Client(), Client()
    newcomer.force_login(StaffFactory())
    other.force_login(UserFactory())

    assert "You may not look at anything yet." in newcomer.get("/admin/").content.decode()
    assert newcomer.get("/admin/dataunion/syncjob/").status_code == 403
    assert other.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"
