"""Attempts, and what lists say of themselves; all rights stand in test_rights.py."""

from __future__ import annotations

import pytest
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

    assert all(words in listed for words in ("1.4 s", "2 minutes", "HTTP 503"))
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


@pytest.mark.parametrize("url", [RUNS, ATTEMPTS, "/admin/dataunion/syncjob/", "/admin/dataunion/dataunion/"])
def test_rights_to_look_are_asked_for_on_every_row(url: str) -> None:
    newcomer = Client()
    newcomer.force_login(StaffFactory())
    SyncJobFactory(), SyncAttemptFactory(), RetryRunFactory()

    assert newcomer.get(url).status_code == 403
    assert newcomer.get(f"{url}00000000-0000-0000-0000-000000000000/change/").status_code == 403
