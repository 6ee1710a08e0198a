"""Retries asked for by staff: always a confirmation first, then one job, or a run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dataunion import retries, roster
from dataunion.models import RetryRun, SyncJob
from dataunion.state import BULK
from tests.factories import DataUnionFactory, RetryRunFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/syncjob/"
MATCHING = "/admin/dataunion/syncjob/retry-matching/"
CONFIRMED = {"confirmed": "yes"}


def retry_url(job: SyncJob) -> str:
    return reverse("admin:dataunion_syncjob_retry", args=[job.pk])


def run_url(run: RetryRun) -> str:
    return f"/admin/dataunion/retryrun/{run.pk}/change/"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_click_on_retry_asks_first_and_says_what_will_happen(operator: Client, method: str) -> None:
    job = SyncJobFactory()

    page = getattr(operator, method)(retry_url(job), {"next": f"{LIST}?partner=vana"})

    text = page.content.decode()
    assert "Retry 1 job" in text
    assert '<strong class="text-important">1 health</strong> record to vana' in " ".join(text.split())
    assert "each" not in text
    assert page.context["back_url"] == (f"{LIST}?partner=vana" if method == "post" else LIST)
    job.refresh_from_db()
    assert job.status == "failed"


def test_a_confirmed_click_makes_a_job_due(operator: Client) -> None:
    job = SyncJobFactory(due_at=timezone.now() + timedelta(hours=5))

    response = operator.post(retry_url(job), {**CONFIRMED, "next": f"{LIST}?partner=vana"})

    job.refresh_from_db()
    assert response.headers["Location"] == f"{LIST}?partner=vana"
    assert (job.status, job.attempts, job.trigger, job.due_at <= timezone.now()) == ("pending", 0, "vera", True)
    entry = LogEntry.objects.get()
    assert entry.object_id == str(job.record_id)
    assert entry.change_message == "Retried vana (was: failed, permanent)"


def test_a_click_goes_back_to_our_own_pages_only(operator: Client) -> None:
    response = operator.post(retry_url(SyncJobFactory()), {**CONFIRMED, "next": "https://elsewhere.example/"})

    assert response.headers["Location"] == LIST


def test_a_click_on_a_job_that_is_under_way_changes_nothing(operator: Client) -> None:
    job = SyncJobFactory(status="running")

    page = operator.post(retry_url(job), CONFIRMED, follow=True).content.decode()

    job.refresh_from_db()
    assert (job.status, job.trigger) == ("running", "ingest")
    assert "nothing to retry, the job is running" in page


def test_a_click_on_work_that_is_done_says_so(operator: Client) -> None:
    job = SyncJobFactory()
    url = retry_url(job)
    job.delete()

    assert "synced in the meantime" in operator.post(url, CONFIRMED, follow=True).content.decode()


def test_a_retry_at_a_paused_partner_says_that_it_waits(operator: Client) -> None:
    roster.pause(roster.get_partner("vana"), reason="their chain is down", by="ada")

    page = operator.post(retry_url(SyncJobFactory()), CONFIRMED, follow=True).content.decode()

    assert "vana is paused: nothing is sent there until it is resumed." in page


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
    assert "1 job will be sent again, with all attempts anew. 1 job left as before" in done.content.decode()
    run = RetryRun.objects.get()
    assert done.redirect_chain[-1][0] == run_url(run)
    assert (run.filter, run.done) == (retries.select([failed.pk, blocked.pk]), 1)
    noted = dict(LogEntry.objects.values_list("object_id", "change_message"))
    assert noted == {
        str(failed.record_id): "Retried in a selection",
        str(run.pk): "Started a retry of 2 selected jobs: 1 of 2 failures",
    }


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
    assert response.headers["Location"] == run_url(run)
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
    answers = [
        viewer.post(retry_url(job), CONFIRMED),
        viewer.post(MATCHING, {}),
        viewer.get(MATCHING),
        viewer.post(LIST, action),
    ]

    assert "Retry" not in page.replace("Retry runs", "").replace("Retry policies", "")
    assert [answer.status_code for answer in answers] == [403, 403, 403, 200]
    job.refresh_from_db()
    assert job.status == "failed"


def test_a_selection_of_work_that_is_done_starts_nothing(operator: Client) -> None:
    job = SyncJobFactory()
    SyncJobFactory()
    form = {"action": "retry_selected", "_selected_action": [str(job.pk)], **CONFIRMED}
    job.delete()

    page = operator.post(LIST, form, follow=True).content.decode()

    assert "synced in the meantime" in page
    assert (RetryRun.objects.count(), SyncJob.objects.get().status) == (0, "failed")


def test_a_selection_is_a_page_of_the_list_at_most(operator: Client) -> None:
    jobs = SyncJobFactory.create_batch(60)

    form = {"action": "retry_selected", "_selected_action": [str(job.pk) for job in jobs], **CONFIRMED}
    operator.post(LIST, form)

    assert (RetryRun.objects.get().done, SyncJob.objects.filter(status="failed").count()) == (50, 10)


def test_a_group_of_one_cause_is_retried_exactly(operator: Client) -> None:
    job = SyncJobFactory(cause="HTTP 400 at <url>")
    other = SyncJobFactory(cause="HTTP 401 at <url>")

    asked = operator.get(MATCHING, {"partner": "vana", "cause": job.cause})
    operator.post(MATCHING, {"partner": "vana", "cause": job.cause})

    assert (asked.context["able"], "message “HTTP 400 at &lt;url&gt;”" in asked.content.decode()) == (1, True)
    assert [SyncJob.objects.get(pk=row.pk).status for row in (job, other)] == ["pending", "failed"]


def test_a_second_click_joins_the_run_under_way_and_says_so(operator: Client) -> None:
    run = retries.start_run({"partner": "vana"}, by="ada")
    RetryRun.objects.filter(pk=run.pk).update(
        state="paused", work=retries.name_work({"partner": "vana"}, run.created_at)
    )
    job = SyncJobFactory(changed_at=run.created_at)

    asked = operator.get(MATCHING, {"partner": "vana"}).content.decode()
    answer = operator.post(MATCHING, {"partner": "vana"}, follow=True)

    words = "A retry of the same work is paused already: ada asked for it"
    assert words in asked
    assert words in answer.content.decode()
    assert "failed since" not in asked + answer.content.decode()
    assert answer.redirect_chain == [(run_url(run), 302)]
    assert (RetryRun.objects.count(), SyncJob.objects.get(pk=job.pk).status) == (1, "failed")


def test_a_second_click_says_what_failed_since_the_first(operator: Client) -> None:
    now = timezone.now()
    work = retries.name_work({"partner": "vana"}, now)
    run = RetryRunFactory(filter={"partner": "vana"}, work=work, state="paused", created_at=now - timedelta(minutes=2))
    later = run.created_at + timedelta(minutes=1)
    SyncJobFactory(changed_at=run.created_at)
    SyncJobFactory.create_batch(2, changed_at=later)
    SyncJobFactory(changed_at=later, status="blocked")
    SyncJobFactory(changed_at=later, partner="akave")

    asked = operator.get(MATCHING, {"partner": "vana"}).content.decode()
    joined = operator.post(MATCHING, {"partner": "vana"}, follow=True).content.decode()

    words = "2 jobs failed since and are not part of it: retry them once it has ended."
    assert (words in asked, words in joined) == (True, True)

    retries.resume_run(run)
    operator.post(MATCHING, {"partner": "vana"})

    assert SyncJob.objects.filter(partner="vana", status="pending").count() == 3


def test_a_run_of_other_work_is_not_joined(operator: Client) -> None:
    RetryRunFactory(filter={"partner": "vana"})
    SyncJobFactory()

    operator.post(MATCHING, {"partner": "vana", "step": "confirm"})

    assert RetryRun.objects.count() == 2
