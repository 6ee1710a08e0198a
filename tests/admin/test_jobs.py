"""The list of open work, and its retries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dataunion import roster
from dataunion.models import RetryRun, SyncJob
from dataunion.state import BULK
from tests.factories import DataUnionFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/syncjob/"
MATCHING = "/admin/dataunion/syncjob/retry-matching/"


def shown(response: object) -> list[SyncJob]:
    return list(response.context["cl"].result_list)


def retry_url(job: SyncJob) -> str:
    return reverse("admin:dataunion_syncjob_retry", args=[job.pk])


def test_the_newest_change_comes_first(admin: Client) -> None:
    older = SyncJobFactory(changed_at=timezone.now() - timedelta(hours=1))
    newer = SyncJobFactory()

    assert shown(admin.get(LIST)) == [newer, older]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("partner=akave", "at_akave"),
        ("status=blocked", "blocked"),
        ("status=waiting", "waiting"),
        ("data_type=checkin", "checkin"),
        ("error_class=internal", "internal"),
        ("step=confirm", "at_confirm"),
        ("age=1d", "old"),
        ("q=needle", "of_user"),
    ],
)
def test_a_filter_leaves_what_it_names(admin: Client, query: str, found: str) -> None:
    jobs = {
        "at_akave": SyncJobFactory(partner="akave"),
        "blocked": SyncJobFactory(status="blocked"),
        "waiting": SyncJobFactory(status="pending"),
        "checkin": SyncJobFactory(record=DataUnionFactory(data_type="checkin")),
        "internal": SyncJobFactory(error_class="internal"),
        "at_confirm": SyncJobFactory(step="confirm"),
        "old": SyncJobFactory(created_at=timezone.now() - timedelta(days=2)),
        "of_user": SyncJobFactory(record=DataUnionFactory(user_hash="needle")),
    }

    assert shown(admin.get(f"{LIST}?{query}")) == [jobs[found]]


def test_any_error_means_retrying_failed_and_blocked(admin: Client) -> None:
    jobs = [SyncJobFactory(status=status) for status in ("retrying", "failed", "blocked", "pending", "running")]

    assert set(shown(admin.get(f"{LIST}?status=error"))) == set(jobs[:3])


def test_a_record_id_is_searched(admin: Client) -> None:
    job, _ = SyncJobFactory(), SyncJobFactory()

    assert shown(admin.get(f"{LIST}?q={job.record_id}")) == [job]


def test_pages_follow_each_other_forth_and_back(admin: Client) -> None:
    same = timezone.now()
    jobs = SyncJobFactory.create_batch(120, changed_at=same)
    jobs.sort(key=lambda job: job.pk.int, reverse=True)

    first = admin.get(LIST)
    second = admin.get(LIST + first.context["cl"].next_url)
    third = admin.get(LIST + second.context["cl"].next_url)
    back = admin.get(LIST + third.context["cl"].previous_url)

    assert [shown(page) for page in (first, second, third, back)] == [jobs[:50], jobs[50:100], jobs[100:], jobs[50:100]]
    assert (first.context["cl"].previous_url, third.context["cl"].next_url) == ("", "")
    assert shown(admin.get(LIST + back.context["cl"].previous_url)) == jobs[:50]


def test_a_page_behind_the_last_row_leads_back(admin: Client) -> None:
    job = SyncJobFactory()

    page = admin.get(f"{LIST}?after=2000-01-01T00:00:00%2B00:00~{job.pk}").context["cl"]

    assert (page.result_list, page.next_url, page.previous_url) == ([], "", "?")


def test_a_cursor_that_is_none_shows_the_first_page(admin: Client) -> None:
    job = SyncJobFactory()

    assert shown(admin.get(f"{LIST}?after=nonsense")) == [job]


def test_a_job_leads_to_its_record(admin: Client) -> None:
    job = SyncJobFactory()

    response = admin.get(f"{LIST}{job.pk}/change/")

    assert response.headers["Location"] == reverse("admin:dataunion_dataunion_change", args=[job.record_id])
    assert admin.get(f"{LIST}{job.record_id}/change/").status_code == 404


def test_one_click_makes_a_job_due(operator: Client) -> None:
    job = SyncJobFactory(due_at=timezone.now() + timedelta(hours=5))

    response = operator.post(retry_url(job), {"next": f"{LIST}?partner=vana"})

    job.refresh_from_db()
    assert response.headers["Location"] == f"{LIST}?partner=vana"
    assert (job.status, job.attempts, job.trigger, job.due_at <= timezone.now()) == ("pending", 0, "vera", True)
    entry = LogEntry.objects.get()
    assert entry.object_id == str(job.record_id)
    assert entry.change_message == "Retried vana (was: failed, permanent)"


def test_a_click_goes_back_to_our_own_pages_only(operator: Client) -> None:
    response = operator.post(retry_url(SyncJobFactory()), {"next": "https://elsewhere.example/"})

    assert response.headers["Location"] == LIST


def test_a_click_on_a_job_that_is_under_way_changes_nothing(operator: Client) -> None:
    job = SyncJobFactory(status="running")

    page = operator.post(retry_url(job), follow=True).content.decode()

    job.refresh_from_db()
    assert (job.status, job.trigger) == ("running", "ingest")
    assert "nothing to retry, the job is running" in page


def test_a_click_on_work_that_is_done_says_so(operator: Client) -> None:
    job = SyncJobFactory()
    url = retry_url(job)
    job.delete()

    assert "synced in the meantime" in operator.post(url, follow=True).content.decode()


def test_a_retry_at_a_paused_partner_says_that_it_waits(operator: Client) -> None:
    roster.pause(roster.get_partner("vana"), reason="their chain is down", by="ada")

    page = operator.post(retry_url(SyncJobFactory()), follow=True).content.decode()

    assert "vana is paused: nothing is sent there until it is resumed." in page


def test_a_retry_by_get_is_refused(operator: Client) -> None:
    job = SyncJobFactory()

    assert operator.get(retry_url(job)).status_code == 405
    job.refresh_from_db()
    assert job.status == "failed"


def test_buttons_stand_where_a_retry_is_possible(operator: Client) -> None:
    able = [SyncJobFactory(status=status) for status in ("failed", "retrying")]
    unable = [SyncJobFactory(status=status) for status in ("pending", "running", "blocked")]

    page = operator.get(LIST).content.decode()

    assert all(f'formaction="{retry_url(job)}"' in page for job in able)
    assert not any(retry_url(job) in page for job in unable)


def test_a_selection_is_retried_after_a_confirmation(operator: Client) -> None:
    failed, blocked, left = SyncJobFactory(), SyncJobFactory(status="blocked"), SyncJobFactory()
    form = {"action": "retry_selected", "_selected_action": [str(failed.pk), str(blocked.pk)]}

    asked = operator.post(LIST, form)
    done = operator.post(LIST, {**form, "confirmed": "yes"}, follow=True)

    assert (asked.context["able"], asked.context["blocked"]) == (1, 1)
    states = dict(SyncJob.objects.values_list("pk", "status"))
    assert states == {failed.pk: "pending", blocked.pk: "blocked", left.pk: "failed"}
    assert "1 job due now, with all attempts anew. 1 job left as before" in done.content.decode()
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(failed.record_id)]


def test_a_confirmation_changes_nothing(operator: Client) -> None:
    job = SyncJobFactory()

    operator.post(LIST, {"action": "retry_selected", "_selected_action": [str(job.pk)]})
    operator.get(f"{MATCHING}?partner=vana")

    job.refresh_from_db()
    assert (job.status, RetryRun.objects.count()) == ("failed", 0)


def test_all_that_match_is_asked_with_its_number(operator: Client) -> None:
    SyncJobFactory.create_batch(3)
    SyncJobFactory(status="blocked")
    SyncJobFactory(partner="akave")

    page = operator.get(f"{MATCHING}?partner=vana&status=error")

    assert (page.context["able"], page.context["blocked"]) == (3, 1)
    assert "<strong" in page.content.decode()
    assert "Retry 3 jobs" in page.content.decode()


def test_all_that_match_is_retried_by_a_run_that_holds_the_filter(operator: Client) -> None:
    old = timezone.now() - timedelta(days=3)
    job = SyncJobFactory(step="confirm", created_at=old)
    others = [
        SyncJobFactory(step="confirm"),
        SyncJobFactory(created_at=old),
        SyncJobFactory(partner="akave", step="confirm", created_at=old),
    ]

    form = {"partner": "vana", "step": "confirm", "age": "1d", "status": "error"}
    response = operator.post(MATCHING, form)

    run = RetryRun.objects.get()
    assert response.headers["Location"] == f"/admin/dataunion/retryrun/{run.pk}/change/"
    assert (run.total, run.wanted, run.done, run.asked_by) == (1, 1, 1, "vera")
    assert set(run.filter) == {"partner", "step", "created_at__lte"}
    job.refresh_from_db()
    assert (job.status, job.priority) == ("pending", BULK)
    assert set(SyncJob.objects.filter(status="failed")) == set(others)


def test_all_that_match_a_search_is_that_users_work(operator: Client) -> None:
    job = SyncJobFactory(record=DataUnionFactory(user_hash="needle"))
    SyncJobFactory()

    operator.post(MATCHING, {"q": "needle"})
    operator.post(MATCHING, {"q": str(job.record_id)})

    assert [run.filter for run in RetryRun.objects.order_by("created_at")] == [
        {"user_hash": "needle"},
        {"record_id": str(job.record_id)},
    ]
    assert SyncJob.objects.filter(status="pending").get() == job


def test_waiting_work_that_matches_is_left_alone(operator: Client) -> None:
    SyncJobFactory(status="pending")

    assert operator.get(f"{MATCHING}?status=waiting").context["able"] == 0
    assert "Nothing here can be retried." in operator.get(f"{MATCHING}?status=waiting").content.decode()


def test_a_viewer_sees_no_button_and_cannot_post(viewer: Client) -> None:
    job = SyncJobFactory()

    page = viewer.get(LIST).content.decode()
    action = {"action": "retry_selected", "_selected_action": [str(job.pk)], "confirmed": "yes"}
    answers = [viewer.post(retry_url(job)), viewer.post(MATCHING, {}), viewer.get(MATCHING), viewer.post(LIST, action)]

    assert "Retry" not in page.replace("Retry runs", "")
    assert [answer.status_code for answer in answers] == [403, 403, 403, 200]
    job.refresh_from_db()
    assert job.status == "failed"


def test_jobs_cannot_be_written(admin: Client) -> None:
    job = SyncJobFactory()

    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert SyncJob.objects.get().status == "failed"
