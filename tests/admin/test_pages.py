"""Attempts, and what lists say of themselves; all rights stand in test_rights.py."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from dataunion.models import SyncAttempt
from tests.factories import RetryRunFactory, StaffFactory, SyncAttemptFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
RUNS, ATTEMPTS = "/admin/dataunion/retryrun/", "/admin/dataunion/syncattempt/"


def test_attempts_are_listed_and_lead_to_their_record(viewer: Client) -> None:
    attempt = SyncAttemptFactory(duration_ms=1400)
    SyncAttemptFactory(partner="akave", outcome="synced", error_message="", duration_ms=125_000)

    listed = viewer.get(ATTEMPTS).content.decode()
    one = viewer.get(f"{ATTEMPTS}?partner=vana&outcome=transient&created=1d").context["cl"].result_list

    assert all(words in listed for words in ("1.4 s", "2 minutes", "HTTP 503", f"vana #{attempt.number}"))
    assert one == [attempt]
    leads_to = viewer.get(f"{ATTEMPTS}{attempt.pk}/change/").headers["Location"]
    assert leads_to == f"/admin/dataunion/dataunion/{attempt.record_id}/change/"


def test_attempts_are_searched_by_record(viewer: Client) -> None:
    attempt, _ = SyncAttemptFactory(), SyncAttemptFactory()

    found = [viewer.get(f"{ATTEMPTS}?q={q}").context["cl"].result_list for q in (attempt.record_id, "nonsense", " ")]

    assert found[:2] == [[attempt], []]
    assert len(found[2]) == SyncAttempt.objects.count()


def test_an_empty_list_says_what_would_fill_it(viewer: Client) -> None:
    assert "Every record is where it should be." in viewer.get("/admin/dataunion/syncjob/").content.decode()
    assert "Nothing matches" in viewer.get("/admin/dataunion/syncjob/?q=none").content.decode()


@pytest.mark.parametrize("model", ["auth/group", "dataunion/user", "dataunion/apikey", "dataunion/retrypolicy"])
def test_the_page_of_something_new_has_one_button_and_none_that_leads_to_itself(admin: Client, model: str) -> None:
    page, listed = admin.get(f"/admin/{model}/add/").content.decode(), admin.get(f"/admin/{model}/").content.decode()

    assert ('name="_save"' in page, "_addanother" in page, 'name="_continue"' in page) == (True, False, False)
    assert ("addlink" in listed, "addlink" in page) == (True, False)


def test_the_history_of_a_run_is_headed_by_what_it_retried(viewer: Client) -> None:
    run = RetryRunFactory(filter={"partner": "vana"}, asked_by="olga")

    page = viewer.get(f"{RUNS}{run.pk}/history/").content.decode()

    assert ("Partner vana, asked for by olga" in page, "{&#x27;" in page) == (True, False)


def test_a_history_tells_times_as_every_page_does(admin: Client) -> None:
    group = Group.objects.create(name="guests")
    admin.post(f"/admin/auth/group/{group.pk}/change/", {"name": "visitors"})

    page = admin.get(f"/admin/auth/group/{group.pk}/history/").content.decode()

    assert ("Changed: Name: guests → visitors" in page, "0 minutes" in page) == (True, False)
    assert re.search(r'<time datetime="[^"]+" title="[^"]+ UTC" class="whitespace-nowrap">[^<]+</time>', page)


@pytest.mark.parametrize("url", [RUNS, ATTEMPTS, "/admin/dataunion/syncjob/", "/admin/dataunion/dataunion/"])
def test_rights_to_look_are_asked_for_on_every_row(url: str) -> None:
    newcomer = Client()
    newcomer.force_login(StaffFactory())
    SyncJobFactory(), SyncAttemptFactory(), RetryRunFactory()

    assert newcomer.get(url).status_code == 403
    assert newcomer.get(f"{url}00000000-0000-0000-0000-000000000000/change/").status_code == 403
