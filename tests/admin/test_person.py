"""One person's page: found by the hash, exported by those who may, with their password."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from dataunion.models import User
from tests.admin.conftest import make_viewer, sign_in
from tests.factories import PASSWORD, DataUnionFactory, HealthDataFactory, StaffFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
PAGE, EXPORT = "/admin/dataunion/dataunion/person/", "/admin/dataunion/dataunion/person/export/"


@pytest.fixture
def exporter(db: None) -> Client:
    """Return the browser of a person who may export."""
    user: User = make_viewer()
    user.user_permissions.add(Permission.objects.get(codename="export_person"))
    return sign_in(user)


def read(response: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(b"".join(response.streaming_content))
    return found


def test_a_hash_that_is_typed_leads_to_the_persons_page(viewer: Client) -> None:
    assert viewer.post(PAGE, {"user": " u1 "}).headers["Location"] == f"{PAGE}?user=u1"


def test_every_record_is_shown_at_every_partner(viewer: Client) -> None:
    record = DataUnionFactory(user_hash="u1", data_id="stuck-one")
    SyncJobFactory(record=record, partner="vana", status="blocked")
    DataUnionFactory(user_hash="u2", data_id="someone-else")

    page = viewer.get(f"{PAGE}?user=u1")

    text = page.content.decode()
    assert page.context["partners"] == ["akave", "vana"]
    assert ("stuck-one" in text, "someone-else" in text) == (True, False)
    badges = dict(page.context["rows"][0]["badges"])
    assert ("synced" in badges["akave"], "blocked" in badges["vana"]) == (True, True)
    assert f"/admin/dataunion/dataunion/{record.pk}/change/" in text
    assert [text.count(f'data-label="{name}"') for name in ("Type", "Came in", "akave", "vana")] == [1, 1, 1, 1]


def test_a_person_with_many_records_has_pages(viewer: Client) -> None:
    records = DataUnionFactory.create_batch(60, user_hash="u1")

    first = viewer.get(f"{PAGE}?user=u1")
    second = viewer.get(first.context["next_url"])

    assert (len(first.context["rows"]), len(second.context["rows"])) == (50, 10)
    assert str(records[0].pk) in second.context["rows"][-1]["url"]
    assert (second.context["next_url"], second.context["first_url"]) == ("", f"{PAGE}?user=u1")


@pytest.mark.parametrize(
    ("typed", "words"),
    [("jane@example.org", "E-mail addresses are not stored here."), ("two words", "This is no user hash")],
)
def test_what_is_no_hash_is_refused_with_what_to_do_and_gets_into_no_url(
    viewer: Client, typed: str, words: str
) -> None:
    answer = viewer.post(PAGE, {"user": typed}, follow=True)

    assert [url for url, _ in answer.redirect_chain] == [PAGE]
    assert words in answer.content.decode()
    assert words in viewer.get(PAGE, {"user": typed}).content.decode()


def test_an_unknown_hash_says_what_to_check(viewer: Client) -> None:
    page = viewer.get(f"{PAGE}?user=nobody").content.decode()

    assert "There is nothing about this person" in page
    assert "Export all about this person" not in page


def test_all_is_exported_with_the_password_and_logged(exporter: Client) -> None:
    record = DataUnionFactory(user_hash="u1")
    HealthDataFactory(record=record, content={"pulse": 61})
    assert "Export all about this person" in exporter.get(f"{PAGE}?user=u1").content.decode()

    response = exporter.post(EXPORT, {"user": "u1", "password": PASSWORD})

    assert read(response)["records"][0]["data"] == {"pulse": 61}
    assert response.headers["Content-Disposition"].startswith('attachment; filename="person-u1-')
    assert "no-store" in response.headers["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_repr) == ("vera", "Person u1")
    assert entry.change_message == "Exported all that is stored about this person"


def test_a_wrong_password_exports_nothing(exporter: Client) -> None:
    DataUnionFactory(user_hash="u1")

    answer = exporter.post(EXPORT, {"user": "u1", "password": "wrong"}, follow=True)

    assert answer.redirect_chain[0][0] == f"{PAGE}?user=u1"
    assert "This is not your password." in answer.content.decode()
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Gave a wrong password"]


@pytest.mark.parametrize("user_hash", ["nobody", "jane@example.org", ""])
def test_nothing_about_nobody_is_exported(exporter: Client, user_hash: str) -> None:
    answer = exporter.post(EXPORT, {"user": user_hash, "password": PASSWORD}, follow=True)

    assert "nothing was exported" in answer.content.decode()
    assert LogEntry.objects.count() == 0


def test_an_export_needs_its_own_permission(viewer: Client) -> None:
    DataUnionFactory(user_hash="u1")

    assert viewer.post(EXPORT, {"user": "u1", "password": PASSWORD}).status_code == 403
    assert "Export all about this person" not in viewer.get(f"{PAGE}?user=u1").content.decode()


def test_an_export_is_never_made_by_looking(exporter: Client) -> None:
    assert exporter.get(f"{EXPORT}?user=u1").status_code == 405


def test_who_may_not_look_sees_nobody(db: None) -> None:
    client = sign_in(StaffFactory())

    answers = [client.get(f"{PAGE}?user=u1"), client.post(PAGE, {"user": "u1"}), client.post(EXPORT, {"user": "u1"})]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert "One person" not in client.get("/admin/").content.decode()
    assert Client().post(EXPORT, {"user": "u1"}).status_code == 302


def test_only_its_own_link_is_marked_at_the_left(viewer: Client) -> None:
    items = viewer.get(PAGE).context["sidebar_navigation"][0]["items"]

    assert [str(item["title"]) for item in items if item.get("active")] == ["One person"]
