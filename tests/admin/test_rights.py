"""Who may look where and post what: every page, button and action, for everyone, by direct request.

What the tables do not name is nobody's: add a line here when you add a page, a button or an action.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client

from dataunion import roster, stats
from tests.admin.conftest import make_admin, make_operator, make_viewer, sign_in
from tests.admin.places import Action, Place, Rows, make_rows, read_actions, read_places

pytestmark = pytest.mark.django_db

ANYONE, VIEWER, OPERATOR, ADMIN, NOBODY = range(5)  # each may do what those before may
ROLES = {"viewer": VIEWER, "operator": OPERATOR, "admin": ADMIN}
PEOPLE = ("user", "group", "apikey", "logentry")  # only administrators look at these
REDIRECT = "redirect"  # Django's, from an old address of a row to its page; it tells nothing
# Who may look, who may post; by the place's name, or by the last word of it for every model.
MAY = {
    "login": (ANYONE, ANYONE),
    "logout": (NOBODY, ANYONE),
    "sign_in": (ANYONE, ANYONE),
    "jsi18n": (ANYONE, NOBODY),
    "password_reset": (ANYONE, ANYONE),
    "password_reset_done": (ANYONE, NOBODY),
    "password_reset_confirm": (ANYONE, ANYONE),
    "password_reset_complete": (ANYONE, NOBODY),
    "index": (VIEWER, VIEWER),
    "app_list": (VIEWER, VIEWER),
    "search": (VIEWER, VIEWER),
    "password_change": (VIEWER, VIEWER),
    "password_change_done": (VIEWER, NOBODY),
    REDIRECT: (VIEWER, VIEWER),
    "changelist": (VIEWER, VIEWER),  # without an action, a post shows the list
    "change": (VIEWER, NOBODY),
    "history": (VIEWER, VIEWER),
    "dataunion_syncattempt_change": (VIEWER, VIEWER),  # sends on to the record's page
    "dataunion_syncjob_change": (VIEWER, VIEWER),
    "dataunion_partner_add": (ADMIN, ADMIN),
    "dataunion_partner_change": (VIEWER, ADMIN),
    "dataunion_partner_pause": (OPERATOR, OPERATOR),
    "dataunion_partner_switch_off": (OPERATOR, OPERATOR),
    "dataunion_partner_resume": (NOBODY, OPERATOR),
    "dataunion_partner_test_connection": (NOBODY, OPERATOR),
    "dataunion_partner_test_delivery": (NOBODY, ADMIN),
    "dataunion_partner_signer": (VIEWER, NOBODY),
    "dataunion_partner_backfill": (OPERATOR, OPERATOR),
    "dataunion_backfill_pause": (NOBODY, OPERATOR),
    "dataunion_backfill_resume": (NOBODY, OPERATOR),
    "dataunion_backfill_cancel": (NOBODY, OPERATOR),
    "dataunion_incident_test": (NOBODY, OPERATOR),
    "dataunion_retryrun_progress": (VIEWER, VIEWER),
    "dataunion_retryrun_pause": (NOBODY, OPERATOR),
    "dataunion_retryrun_resume": (NOBODY, OPERATOR),
    "dataunion_retryrun_cancel": (NOBODY, OPERATOR),
    "dataunion_retrypolicy_add": (OPERATOR, OPERATOR),
    "dataunion_retrypolicy_change": (VIEWER, OPERATOR),
    "dataunion_retrypolicy_delete": (OPERATOR, OPERATOR),
    "dataunion_syncjob_retry": (OPERATOR, OPERATOR),
    "dataunion_syncjob_export": (NOBODY, VIEWER),
    "dataunion_dataunion_export": (NOBODY, VIEWER),
    "dataunion_syncattempt_export": (NOBODY, VIEWER),
    "dataunion_dataunion_person": (VIEWER, VIEWER),
    "dataunion_dataunion_person_export": (NOBODY, OPERATOR),
    "dataunion_syncjob_retry_matching": (OPERATOR, OPERATOR),
    "dataunion_dataunion_rename": (NOBODY, OPERATOR),
    "dataunion_user_add": (ADMIN, ADMIN),
    "dataunion_user_change": (ADMIN, ADMIN),
    "auth_user_password_change": (ADMIN, ADMIN),
    "auth_group_add": (ADMIN, ADMIN),
    "auth_group_change": (ADMIN, ADMIN),
    "auth_group_delete": (ADMIN, ADMIN),
    "dataunion_apikey_add": (ADMIN, ADMIN),
    "dataunion_apikey_revoke": (NOBODY, ADMIN),
}
ACT = {
    ("retry_selected", "syncjob"): OPERATOR,
    ("delete_selected", "group"): ADMIN,
    ("delete_selected", "retrypolicy"): OPERATOR,
}
BODY = {"post": "yes", "confirmed": "yes", "reason": "because", "name": "posted"}
SIGN_IN = "/admin/login/"
LAST = ("logout", "sign_in")  # whoever posts there is somebody else afterwards


@pytest.fixture
def rows(db: None, settings: Any) -> Rows:
    """Make a row of everything that the admin shows, and those that it makes when it is looked at."""
    settings.CAN_SEND_EMAIL = True
    roster.find_partners()
    stats.fold()
    return make_rows()


def find_places(rows: Rows) -> list[Place]:
    return sorted(read_places(rows), key=lambda place: place.name in LAST)


def browser_of(role: str) -> Client:
    made = {"viewer": make_viewer, "operator": lambda: make_operator("otto"), "admin": make_admin}
    return sign_in(made[role]())


def find_least(place: Place) -> tuple[int, int]:
    """Return the first role that may look, and the first that may post."""
    name = place.name or (REDIRECT if place.model else "nowhere")
    look, post = MAY.get(name, MAY.get(name.rpartition("_")[2], (NOBODY, NOBODY)))
    least = ADMIN if place.model in PEOPLE and name != REDIRECT else ANYONE
    return max(look, least), max(post, least)


def is_right(answer: HttpResponse, least: int, role: int) -> bool:
    if least <= role:
        return answer.status_code in (200, 302) and not leads_to_sign_in(answer)
    return answer.status_code in ((403, 404, 405) if least == NOBODY else (403,))


def leads_to_sign_in(answer: HttpResponse) -> bool:
    return answer.status_code == 302 and answer.headers["Location"].startswith(SIGN_IN)


def is_done(answer: HttpResponse, action: Action) -> bool:
    """Say whether an action was taken up: the list is not simply shown again."""
    if answer.status_code == 302:
        return not answer.headers["Location"].startswith((action.url, SIGN_IN))
    return answer.status_code == 200 and "cl" not in (answer.context or {})


def read_all_rows() -> dict[str, list[Any]]:
    """Return every row of every table."""
    models: list[type[Model]] = apps.get_models()
    return {model.__name__: list(model._default_manager.order_by("pk").values_list()) for model in models}


def test_whoever_is_not_signed_in_is_sent_to_sign_in(rows: Rows) -> None:
    places, browser, before = read_places(rows), Client(), read_all_rows()
    closed = [place.url for place in places if ANYONE not in find_least(place)]

    let_in = [url for url in closed if not leads_to_sign_in(browser.get(url))]
    taken = [url for url in closed if not leads_to_sign_in(browser.post(url, BODY))]
    acted = [a.name for a in read_actions(rows) if not leads_to_sign_in(browser.post(a.url, a.body(**BODY)))]

    assert (let_in, taken, acted) == ([], [], [])
    assert len(closed) == len(places) - 8
    assert read_all_rows() == before


@pytest.mark.parametrize("role", ROLES)
def test_each_looks_where_the_table_says(rows: Rows, role: str) -> None:
    browser, wrong = browser_of(role), {}

    for place in find_places(rows):
        answer = browser.get(place.url)
        if not is_right(answer, find_least(place)[0], ROLES[role]):
            wrong[place.name or place.url] = answer.status_code

    assert wrong == {}


@pytest.mark.parametrize("role", ROLES)
def test_each_posts_where_the_table_says(rows: Rows, role: str) -> None:
    browser, wrong = browser_of(role), {}

    for place in find_places(rows):
        least = find_least(place)[1]
        answer = browser.post(place.url, BODY if least > ROLES[role] else {})
        if not is_right(answer, least, ROLES[role]):
            wrong[place.name or place.url] = answer.status_code

    assert wrong == {}


@pytest.mark.parametrize("role", ROLES)
def test_each_acts_where_the_table_says(rows: Rows, role: str) -> None:
    browser, wrong = browser_of(role), {}

    for action in read_actions(rows):
        may = ACT.get((action.name, action.model), NOBODY) <= ROLES[role]
        answer = browser.post(action.url, action.body())
        if is_done(answer, action) is not may:
            wrong[action.name, action.model] = answer.status_code

    assert wrong == {}


def test_nothing_that_a_viewer_posts_changes_a_row(rows: Rows) -> None:
    browser = browser_of("viewer")
    before = read_all_rows()

    for place in read_places(rows):
        if place.name not in LAST:
            browser.post(place.url, BODY)
    for action in read_actions(rows):
        browser.post(action.url, action.body(**BODY))

    after = read_all_rows()
    after["LogEntry"] = after["LogEntry"][: len(before["LogEntry"])]  # what a viewer takes out is noted there
    assert [name for name in before if before[name] != after[name]] == []
    assert sum(map(len, before.values())) > 50


def test_every_line_of_the_tables_is_of_a_place(rows: Rows) -> None:
    names = {place.name for place in read_places(rows)} | {REDIRECT}
    words = {name.rpartition("_")[2] for name in names}

    assert set(MAY) <= names | words
    assert set(ACT) <= {(action.name, action.model) for action in read_actions(rows)}
