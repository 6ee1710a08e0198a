"""The list of open work."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dataunion import roster
from dataunion.models import Partner, SyncJob
from tests.factories import DataUnionFactory, PartnerFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/syncjob/"


def shown(response: object) -> list[SyncJob]:
    return list(response.context["cl"].result_list)


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


def test_jobs_cannot_be_written(admin: Client) -> None:
    job = SyncJobFactory()

    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert SyncJob.objects.get().status == "failed"


def test_when_work_is_due_is_told_in_words(admin: Client) -> None:
    record = DataUnionFactory()
    roster.find_partners()
    Partner.objects.filter(name="vana").update(adapter="vana")
    SyncJobFactory(record=record, partner="akave", status="failed")
    SyncJobFactory(record=record, partner="vana", status="pending")
    roster.pause(PartnerFactory(name="clinic"), reason="closed", by="ada")
    SyncJobFactory(partner="clinic", status="pending")
    SyncJobFactory(partner="akave", status="pending", due_at=timezone.now() + timedelta(seconds=90))

    page = admin.get(LIST).content.decode()

    found = re.findall(r'data-label="due">(.*?)</td>', page)
    assert found[1:] == ["when resumed", "after akave", "when retried"]
    assert "in 1 minute" in found[0]
