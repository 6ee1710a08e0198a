"""Every page of the admin over a large union: few questions, and none that reads a whole table.

What is asked does not depend on how many rows there are, but a plan may: so there are 200,000 records and 20,000
failures on SQLite. On MongoDB no plan depends on it, and SecantusDB takes long to store as many: a twentieth there,
unless LARGE_RECORDS says how many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks._rows import fill
from dataunion.models import PAYLOADS, DataUnion, RemoteRef, SyncAttempt, SyncJob
from tests.admin.conftest import sign_in
from tests.admin.places import Place, make_rows, read_places, shows_page
from tests.database import own_database
from tests.factories import AdminFactory
from tests.suites.plans import SCAN, WALK, Statement, recorded, scans_avoided

RECORDS = int(os.environ.get("LARGE_RECORDS") or (10_000 if connection.vendor == "mongodb" else 200_000))
AT_MOST = 25
HISTORY = {model._meta.db_table for model in (DataUnion, SyncAttempt, RemoteRef, *PAYLOADS.values())}
GROWING = HISTORY | {SyncJob._meta.db_table}


@pytest.fixture(scope="module")
def django_db_setup(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[None]:
    """Give a database of these tests' own, filled once."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    with django_db_blocker.unblock(), own_database("large", tmp_path_factory.mktemp("large")):
        for _ in fill(records=RECORDS, failures=RECORDS // 10, attempts=RECORDS // 10):
            pass
        yield


@pytest.fixture(scope="module")
def browser(django_db_setup: None, django_db_blocker: Any) -> Client:
    """Return an administrator's browser."""
    return sign_in(AdminFactory(username="ada"))


@pytest.fixture(scope="module")
def pages(browser: Client) -> list[Place]:
    """Return every address that shows a page, with rows out of the middle of the many."""
    known = {model: model._default_manager.all()[RECORDS // 20] for model in (DataUnion, SyncJob, SyncAttempt)}
    return [place for place in read_places(make_rows(known)) if shows_page(browser, place)]


def looked_through(one: Statement) -> bool:
    """Say whether a statement reads a table, or the index of one that keeps growing, from end to end."""
    plan = one.read_plan()
    ends = "LIMIT" in one.text or "$limit" in one.text or "'limit'" in one.text
    return not plan or SCAN in plan or (WALK in plan and one.table in HISTORY and not ends)


def judge(browser: Client, url: str) -> list[str]:
    """Return what is wrong with the page at this address."""
    with recorded() as statements, CaptureQueriesContext(connection) as asked:
        answer = browser.get(url)
    wrong = [] if answer.status_code == 200 else [f"{url}: status {answer.status_code}"]
    wrong += [f"{url}: {len(asked)} questions"] if len(asked) > AT_MOST else []
    with scans_avoided():
        return wrong + [f"{url}: {one.text}" for one in statements if one.table in GROWING and looked_through(one)]


def filtered(browser: Client, place: Place) -> list[str]:
    """Return the addresses to which a list's filters lead, and one search."""
    change_list = (browser.get(place.url).context or {}).get("cl")
    if change_list is None:
        return []
    choices = [choice["query_string"] for spec in change_list.filter_specs for choice in spec.choices(change_list)]
    searches = ["?q=" + f"{RECORDS // 10:064x}", "?q=nowhere"] if change_list.search_fields else []
    return [place.url + query for query in dict.fromkeys([*choices, *searches])]


def test_a_large_union_is_there(django_db_setup: None) -> None:
    assert (DataUnion.objects.count(), SyncJob.objects.failing().count()) == (RECORDS, RECORDS // 10)


def test_each_page_asks_few_questions_and_none_reads_a_whole_table(browser: Client, pages: list[Place]) -> None:
    assert len(pages) > 20

    assert [wrong for place in pages for wrong in judge(browser, place.url)] == []


def test_each_filter_and_search_of_a_list_does_so_too(browser: Client, pages: list[Place]) -> None:
    links = [link for place in pages if place.name.endswith("_changelist") for link in filtered(browser, place)]
    assert len(links) > 30

    assert [wrong for link in links for wrong in judge(browser, link)] == []
