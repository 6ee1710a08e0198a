"""The pages of retry policies: who may see and change them, what a change leaves in the log."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from dataunion.clock import db_now
from dataunion.models import RetryPolicy
from tests.factories import RetryPolicyFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/retrypolicy/"
FORM = {"partner": "vana", "error_classes": ["permanent", "poison"], "hour": "4"}


def test_no_policy_is_there_until_somebody_adds_one(viewer: Client) -> None:
    assert "No failed work is retried by itself." in viewer.get(LIST).content.decode()


def test_a_policy_is_added_and_off(operator: Client) -> None:
    answer = operator.post(f"{LIST}add/", FORM)

    policy = RetryPolicy.objects.get()
    assert answer.status_code == 302
    assert (policy.partner, policy.error_classes, policy.hour) == ("vana", ["permanent", "poison"], 4)
    assert (policy.is_on, policy.changed_by, policy.next_at > db_now()) == (False, "vera", True)
    assert (
        LogEntry.objects.get().change_message
        == "Added: Partner: vana; Errors: refused, two workers died; Hour (UTC): 04:00 UTC"
    )


def test_a_policy_is_switched_on_and_the_log_tells_before_and_after(operator: Client) -> None:
    policy = RetryPolicyFactory(is_on=False, error_classes=["permanent", "poison"])

    operator.post(f"{LIST}{policy.pk}/change/", {**FORM, "is_on": "on"})

    policy.refresh_from_db()
    assert (policy.is_on, policy.hour) == (True, 4)
    assert (
        LogEntry.objects.get().change_message == "Changed: Hour (UTC): 03:00 UTC -> 04:00 UTC; Switched on: no -> yes"
    )


@pytest.mark.parametrize(
    "wrong", [{"error_classes": []}, {"hour": "24"}, {"partner": "nobody"}, {"error_classes": ["unheard of"]}]
)
def test_a_policy_that_makes_no_sense_is_refused(operator: Client, wrong: dict[str, object]) -> None:
    assert operator.post(f"{LIST}add/", {**FORM, **wrong}).status_code == 200
    assert not RetryPolicy.objects.exists()


def test_a_policy_tells_how_many_it_would_retry_now_and_when(operator: Client) -> None:
    SyncJobFactory.create_batch(2)
    SyncJobFactory(status="retrying")
    policy = RetryPolicyFactory()

    page = operator.get(f"{LIST}{policy.pk}/change/").content.decode()

    assert "2 failed jobs" in page
    assert "never: switched off" not in page


def test_a_viewer_looks_at_policies_and_changes_none(viewer: Client) -> None:
    policy = RetryPolicyFactory()

    assert viewer.get(f"{LIST}{policy.pk}/change/").status_code == 200
    assert "Refused at vana, daily at 03:00 UTC" in viewer.get(LIST).content.decode()
    answers = [viewer.post(f"{LIST}{url}", FORM) for url in ("add/", f"{policy.pk}/change/", f"{policy.pk}/delete/")]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (RetryPolicy.objects.get().hour, RetryPolicy.objects.count()) == (3, 1)


def test_a_policy_is_deleted(operator: Client) -> None:
    policy = RetryPolicyFactory()

    operator.post(f"{LIST}{policy.pk}/delete/", {"post": "yes"})

    assert not RetryPolicy.objects.exists()
    assert LogEntry.objects.get().object_repr == "Refused at vana, daily at 03:00 UTC"
