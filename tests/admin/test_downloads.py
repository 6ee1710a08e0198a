"""CSV of all that match: who may have it, what the log says of it."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from tests.admin.conftest import sign_in
from tests.factories import DataUnionFactory, StaffFactory, SyncAttemptFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
JOBS, RECORDS = "/admin/dataunion/syncjob/export/", "/admin/dataunion/dataunion/export/"
ATTEMPTS = "/admin/dataunion/syncattempt/export/"


def lines(response: object) -> list[str]:
    return b"".join(response.streaming_content).decode().splitlines()


def test_a_viewer_downloads_all_work_that_matches_and_the_log_says_so(viewer: Client) -> None:
    wanted = SyncJobFactory.create_batch(60, partner="akave")
    SyncJobFactory(partner="vana")

    response = viewer.post(f"{JOBS}?partner=akave&status=error&after=x")

    assert len(lines(response)) == 1 + len(wanted)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="open-work-')
    assert "no-store" in response.headers["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.content_type.model, entry.object_repr) == ("vera", "syncjob", "Open work")
    assert entry.change_message == "Downloaded as CSV: partner: akave, status: any error"


def test_records_are_downloaded_by_the_filters_of_open_work(viewer: Client) -> None:
    records = [SyncJobFactory().record for _ in range(2)]
    SyncJobFactory(partner="akave")
    DataUnionFactory()

    found = lines(viewer.post(f"{RECORDS}?partner=vana"))

    assert [line.split(",")[0] for line in found[1:]] == [str(record.pk) for record in reversed(records)]
    assert LogEntry.objects.get().change_message == "Downloaded as CSV: open at partner: vana"


def test_all_records_are_downloaded_without_a_filter(viewer: Client) -> None:
    DataUnionFactory.create_batch(3)

    assert len(lines(viewer.post(RECORDS))) == 4
    assert LogEntry.objects.get().change_message == "Downloaded as CSV: everything"


def test_attempts_are_downloaded_by_the_filters_of_their_list(viewer: Client) -> None:
    wanted = SyncAttemptFactory.create_batch(60, outcome="permanent")
    SyncAttemptFactory()

    found = lines(viewer.post(f"{ATTEMPTS}?outcome=permanent"))

    assert [line.split(",")[0] for line in found[1:]] == [str(row.record_id) for row in reversed(wanted)]
    entry = LogEntry.objects.get()
    assert (entry.content_type.model, entry.object_repr) == ("syncattempt", "Attempts")
    assert entry.change_message == "Downloaded as CSV: outcome: refused"


@pytest.mark.parametrize("url", [JOBS, RECORDS, ATTEMPTS])
def test_a_download_is_never_made_by_looking(viewer: Client, url: str) -> None:
    assert viewer.get(url).status_code == 405
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("url", [JOBS, RECORDS, ATTEMPTS])
def test_who_may_not_look_may_not_download(db: None, url: str) -> None:
    assert sign_in(StaffFactory()).post(url).status_code == 403
    assert Client().post(url).status_code == 302
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize(
    "page", ["/admin/dataunion/syncjob/", "/admin/dataunion/dataunion/", "/admin/dataunion/syncattempt/"]
)
def test_the_button_posts_the_filter_of_the_list(viewer: Client, page: str) -> None:
    SyncJobFactory()

    shown = viewer.get(f"{page}?partner=vana&q=x").content.decode()

    assert f'action="{page}export/?partner=vana&amp;q=x"' in shown


def test_an_address_that_was_pasted_gets_into_no_log(viewer: Client) -> None:
    SyncJobFactory()

    assert len(lines(viewer.post(f"{JOBS}?q=jane@example.org"))) == 1
    assert LogEntry.objects.get().change_message == "Downloaded as CSV: search: an e-mail address"
