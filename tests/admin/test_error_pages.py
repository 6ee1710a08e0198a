"""Pages for what went wrong say so in words of ours, and lead back."""

from __future__ import annotations

import re

import pytest
from django.test import Client, RequestFactory
from django.views import defaults
from django.views.csrf import csrf_failure

from tests.admin.conftest import make_viewer, sign_in

pytestmark = pytest.mark.django_db


def read(content: bytes) -> str:
    """Return what a page says, with one space between words."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", content.decode()))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nowhere", "No page has this address."),
        ("/admin/dataunion/syncjob/00000000-0000-7000-8000-000000000000/change/", "This work is done, or never was"),
    ],
)
def test_a_page_that_is_not_there_says_what_was_looked_for(viewer: Client, path: str, words: str) -> None:
    response = viewer.get(path)

    assert response.status_code == 404
    assert words in read(response.content)
    assert 'href="/admin/"' in response.content.decode()


def test_whoever_may_not_do_something_is_told_so() -> None:
    response = sign_in(make_viewer()).get("/admin/dataunion/partner/add/")

    assert response.status_code == 403
    assert "You may not do this" in read(response.content)


def test_a_form_that_is_too_old_says_that_nothing_was_done(rf: RequestFactory) -> None:
    response = csrf_failure(rf.post("/admin/"))

    assert response.status_code == 403
    assert "Nothing was done." in read(response.content)


def test_an_error_of_ours_is_told_without_any_detail(rf: RequestFactory) -> None:
    response = defaults.server_error(rf.get("/admin/"))

    assert response.status_code == 500
    assert "It was logged." in read(response.content)


def test_a_malformed_request_is_told_so(rf: RequestFactory) -> None:
    response = defaults.bad_request(rf.get("/admin/"), ValueError("secret"))

    assert response.status_code == 400
    assert ("malformed" in read(response.content), "secret" in read(response.content)) == (True, False)
