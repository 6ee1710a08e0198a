"""A page that asks for itself again, when its reader was signed out."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.admin.conftest import sign_in
from tests.factories import RetryRunFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
OVERVIEW = "/admin/"


def ask(path: str, browser: Client | None = None, **headers: str) -> object:
    return (browser or Client()).get(path, headers={"HX-Request": "true", **headers})


def test_the_last_answer_to_what_asks_again_is_a_link_to_the_sign_in_page() -> None:
    path = f"/admin/dataunion/retryrun/{RetryRunFactory().pk}/"

    answer = ask(f"{path}progress/", **{"HX-Current-URL": f"http://testserver{path}change/?a=b#c"})

    assert answer.status_code == 286
    assert (answer.headers["HX-Reselect"], answer.headers["HX-Reswap"]) == ("#signed-out", "afterbegin")
    assert answer.headers["Cache-Control"] == "no-store"
    wanted = path.replace("/", "%2F")
    assert f'href="/admin/login/?next={wanted}change%2F%3Fa%3Db"' in answer.content.decode()


@pytest.mark.parametrize("page", ["", "https://evil.example/admin/", "javascript:alert(1)", "//evil.example/"])
def test_it_leads_back_to_no_page_but_ours(page: str) -> None:
    answer = ask(OVERVIEW, **{"HX-Current-URL": page})

    assert 'href="/admin/login/?next=%2Fadmin%2F"' in answer.content.decode()


def test_who_is_no_staff_any_more_is_told_the_same(db: None) -> None:
    assert ask(OVERVIEW, sign_in(UserFactory())).status_code == 286


def test_other_requests_and_other_answers_stay_as_they_are() -> None:
    assert Client().get(OVERVIEW).headers["Location"] == "/admin/login/?next=/admin/"
    assert ask(OVERVIEW, sign_in(StaffFactory())).status_code == 200
    assert ask("/admin/login/").status_code == 200
