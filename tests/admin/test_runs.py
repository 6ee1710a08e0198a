"""The pages of retry runs: how a run goes, and the buttons that hold or end it."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion.models import RetryRun
from tests.factories import RetryRunFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
RUNS = "/admin/dataunion/retryrun/"


def read(client: Client, run: RetryRun, part: str = "change") -> str:
    """Return what a run's page says, with one space between words."""
    return re.sub(r"\s+", " ", client.get(f"{RUNS}{run.pk}/{part}/").content.decode())


def test_a_run_is_shown_with_its_progress(viewer: Client) -> None:
    run = RetryRunFactory(filter={"partner": "vana", "error_class": "transient"}, total=500, wanted=400, done=100)

    page, listed = viewer.get(f"{RUNS}{run.pk}/change/").content.decode(), viewer.get(RUNS).content.decode()

    assert all("Partner vana, error busy or no answer" in text and "25 %" in text for text in (page, listed))
    assert "100 blocked jobs" in page


def test_a_run_over_everything_is_said_so(viewer: Client) -> None:
    run = RetryRunFactory(filter={}, total=0, wanted=0, done=0, state="done", finished_at=timezone.now())

    page = viewer.get(f"{RUNS}{run.pk}/change/").content.decode()

    assert ("Everything" in page, "100 %" in page) == (True, True)


def test_runs_cannot_be_written(admin: Client) -> None:
    run = RetryRunFactory()

    assert admin.post(f"{RUNS}{run.pk}/change/", {"state": "done"}).status_code == 405
    assert admin.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert RetryRun.objects.get().state == "running"


@pytest.mark.parametrize("part", ["change", "progress"])
def test_a_run_tells_where_its_jobs_are_and_leads_to_what_failed_again(viewer: Client, part: str) -> None:
    run = RetryRunFactory(total=9, wanted=9, done=8)
    for status in ("failed", "failed", "retrying", "pending", "running", "blocked"):
        SyncJobFactory(status=status, run=run.pk)
    SyncJobFactory(run=RetryRunFactory().pk)

    page = viewer.get(f"{RUNS}{run.pk}/{part}/")

    found = {outcome["words"]: outcome["count"] for outcome in page.context["outcomes"]}
    assert found == {
        "synced": 2,
        "under way": 2,
        "to be tried again by itself": 1,
        "failed again": 2,
        "blocked": 1,
        "not touched yet": 1,
    }
    url = next(outcome["url"] for outcome in page.context["outcomes"] if outcome["words"] == "failed again")
    assert [job.status for job in viewer.get(url).context["cl"].result_list] == ["failed", "failed"]


def test_the_bar_tells_how_far_it_is_to_those_who_cannot_see_it(viewer: Client) -> None:
    run = RetryRunFactory(total=4, wanted=4, done=4)
    SyncJobFactory(status="failed", run=run.pk), SyncJobFactory(status="pending", run=run.pk)

    bar = re.search(r'<span role="progressbar"[^>]*>', read(viewer, run))

    assert bar is not None
    assert all(part in bar[0] for part in ('aria-valuenow="75"', 'aria-valuetext="2 of 4 done"', "aria-label="))


@pytest.mark.parametrize(
    ("state", "job", "seconds"),
    [
        ("running", None, 2),
        ("done", "pending", 2),
        ("done", "retrying", 15),
        ("paused", None, 15),
        ("done", "failed", 0),
        ("cancelled", None, 0),
    ],
)
def test_a_page_looks_again_by_itself_as_long_as_something_changes(
    viewer: Client, state: str, job: str | None, seconds: int
) -> None:
    run = RetryRunFactory(state=state)
    if job:
        SyncJobFactory(status=job, run=run.pk)

    page = read(viewer, run)

    asks = f'hx-get="{RUNS}{run.pk}/progress/" hx-trigger="every {seconds}s"'
    assert (asks in page) == bool(seconds)
    assert ("/progress/" in page) == bool(seconds)


@pytest.mark.parametrize(
    ("was", "act", "now"),
    [
        ("running", "pause", "paused"),
        ("paused", "resume", "done"),
        ("running", "cancel", "cancelled"),
        ("paused", "cancel", "cancelled"),
    ],
)
def test_a_run_is_held_and_ended_by_its_buttons(operator: Client, was: str, act: str, now: str) -> None:
    run = RetryRunFactory(state=was)
    assert f'action="{RUNS}{run.pk}/{act}/"' in read(operator, run)

    answer = operator.post(f"{RUNS}{run.pk}/{act}/")

    run.refresh_from_db()
    assert (answer.headers["Location"], run.state) == (f"{RUNS}{run.pk}/change/", now)
    assert LogEntry.objects.get().change_message == f"{act.capitalize()} by vera: was {was}, is {now}"


@pytest.mark.parametrize(("state", "act"), [("done", "pause"), ("running", "resume"), ("cancelled", "cancel")])
def test_a_button_that_comes_too_late_changes_nothing_and_says_so(operator: Client, state: str, act: str) -> None:
    run = RetryRunFactory(state=state)

    page = operator.post(f"{RUNS}{run.pk}/{act}/", follow=True).content.decode()

    run.refresh_from_db()
    assert (run.state, LogEntry.objects.count()) == (state, 0)
    assert f"Nothing to {act}: the run is {state}." in page


def test_a_cancelled_run_says_how_many_it_did_not_touch(viewer: Client) -> None:
    run = RetryRunFactory(state="cancelled", total=4000, wanted=4000, done=1000)

    assert "Cancelled. 3,000 jobs not touched: as before." in read(viewer, run)


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
def test_a_viewer_sees_no_button_of_a_run_and_cannot_post(viewer: Client, act: str) -> None:
    run = RetryRunFactory(state="paused")

    assert viewer.post(f"{RUNS}{run.pk}/{act}/").status_code == 403
    assert f"/{act}/" not in read(viewer, run)
    assert RetryRun.objects.get().state == "paused"


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
def test_a_run_is_not_changed_by_get(operator: Client, act: str) -> None:
    assert operator.get(f"{RUNS}{RetryRunFactory().pk}/{act}/").status_code == 405


def test_a_page_of_runs_asks_for_all_its_jobs_at_once(viewer: Client) -> None:
    for _ in range(20):
        SyncJobFactory(run=RetryRunFactory().pk)

    with CaptureQueriesContext(connection) as queries:
        viewer.get(RUNS)

    assert len([query for query in queries if "syncjobs" in query["sql"]]) == 1
