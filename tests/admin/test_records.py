"""The list of records and the page of one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion import claims, roster
from dataunion.models import DataUnion, SyncJob
from tests.factories import (
    DataUnionFactory,
    HealthDataFactory,
    RemoteRefFactory,
    SyncAttemptFactory,
    SyncJobFactory,
    synced_entry,
)

pytestmark = pytest.mark.django_db
LIST = "/admin/dataunion/dataunion/"


def shown(response: object) -> list[DataUnion]:
    return list(response.context["cl"].result_list)


def page_of(record: DataUnion) -> str:
    return f"{LIST}{record.pk}/change/"


def test_each_partner_has_a_badge(admin: Client) -> None:
    DataUnionFactory(data_id="all-fine")
    SyncJobFactory(partner="vana", status="blocked", record=DataUnionFactory(data_id="one-stuck"))

    page = admin.get(LIST).content.decode()

    rows = [row.split("</tr>")[0] for row in page.split('<tr class="data-row')[1:]]
    assert [state in rows[0] for state in ("one-stuck", "synced", "blocked")] == [True, True, True]
    assert [state in rows[1] for state in ("all-fine", "synced", "blocked")] == [True, True, False]


def test_a_record_that_a_partner_does_not_take_has_no_badge_there(admin: Client) -> None:
    DataUnionFactory(partners={"akave": synced_entry("akave"), "vana": synced_entry("vana", withdrawn_at="2026-01-01")})
    DataUnionFactory(partners={"akave": {"is_synced": False}})

    page = admin.get(LIST).content.decode()

    assert ("taken back" in page, "pending" in page, "—" in page) == (True, True, True)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=user-needle", ["by_user"]),
        ("q=data%20needle", ["by_id"]),
        ("q=0xneedle", ["by_ref"]),
        ("q=needle", []),
        ("q=%20", ["checkin", "old", "by_user", "by_ref", "by_id"]),
        ("data_type=checkin", ["checkin"]),
        ("created=1d", ["checkin", "by_user", "by_ref", "by_id"]),
        ("partner=vana", ["old", "by_user"]),
        ("partner=vana&status=failed", ["old"]),
        ("status=waiting", ["by_user"]),
        ("status=error", ["old", "by_ref"]),
        ("status=error&data_type=checkin", []),
    ],
)
def test_search_and_filters_find(admin: Client, query: str, found: list[str]) -> None:
    records = {"by_id": DataUnionFactory(data_id="data needle"), "by_ref": DataUnionFactory()}
    RemoteRefFactory(record=records["by_ref"], value="0xneedle")
    records["by_user"] = DataUnionFactory(user_hash="user-needle")
    records["old"] = DataUnionFactory(created_at=timezone.now() - timedelta(days=2))
    records["checkin"] = DataUnionFactory(data_type="checkin")
    SyncJobFactory(record=records["old"])
    SyncJobFactory(record=records["by_user"], status="pending")
    SyncJobFactory(record=records["by_ref"], partner="akave")

    assert shown(admin.get(f"{LIST}?{query}")) == [records[name] for name in found]


def test_a_record_id_is_found(admin: Client) -> None:
    record, _ = DataUnionFactory(), DataUnionFactory()

    assert shown(admin.get(f"{LIST}?q={record.pk}")) == [record]


def test_an_e_mail_address_is_refused_with_what_to_do(admin: Client) -> None:
    DataUnionFactory()

    response = admin.get(f"{LIST}?q=jane@example.org")

    assert shown(response) == []
    assert "Search the person&#x27;s user hash instead." in response.content.decode()


def test_records_with_open_work_are_paged_both_ways(admin: Client) -> None:
    records = DataUnionFactory.create_batch(60)
    for record in records:
        SyncJobFactory(record=record)
    newest_first = records[::-1]

    first = admin.get(f"{LIST}?partner=vana&status=failed")
    second = admin.get(LIST + first.context["cl"].next_url)
    back = admin.get(LIST + second.context["cl"].previous_url)

    assert [shown(page) for page in (first, second, back)] == [newest_first[:50], newest_first[50:], newest_first[:50]]


def test_a_page_shows_where_a_record_is_and_what_was_tried(admin: Client) -> None:
    record = DataUnionFactory(partners={"akave": synced_entry("akave", key="object-key"), "vana": {}})
    HealthDataFactory(record=record)
    job = SyncJobFactory(record=record, status="retrying", due_at=timezone.now() + timedelta(minutes=3, seconds=30))
    SyncAttemptFactory(record=record, number=7, outcome="limited", code="SlowDown", trigger="retry run by grace")

    page = admin.get(page_of(record)).content.decode()

    assert 'href="https://akave.example/object"' in page
    for words in (
        "object-key",
        "in 3 minutes",
        "vana #7",
        "asked us to wait",
        "SlowDown",
        "120 ms",
        "retry run by grace",
    ):
        assert words in page
    assert "vana: store: refused the object" in page
    assert f"/admin/dataunion/syncjob/{job.pk}/retry/" in page


@pytest.mark.parametrize(
    ("status", "words", "has_button"),
    [
        ("running", "A worker has it in hand.", False),
        ("failed", "Nothing happens until somebody retries it.", True),
        ("blocked", "Blocked until the reason is gone.", False),
        ("pending", "Due now.", False),
    ],
)
def test_a_page_says_what_happens_next(operator: Client, status: str, words: str, has_button: bool) -> None:
    job = SyncJobFactory(status=status, due_at=timezone.now() - timedelta(minutes=1))

    page = operator.get(page_of(job.record)).content.decode()

    assert words in page
    assert ("Retry vana now" in page) is has_button


def test_a_page_says_that_a_partner_is_paused(operator: Client) -> None:
    job = SyncJobFactory(status="pending")
    roster.pause(roster.get_partner("vana"), reason="their node is upgraded", by="ada")

    page = operator.get(page_of(job.record)).content.decode()

    assert "Waits until vana is resumed." in page
    assert "their node is upgraded" in page


def test_a_page_shows_which_keys_are_kept_and_no_value(admin: Client) -> None:
    job = SyncJobFactory()
    saved = claims.seal_saved(job.record_id, "vana", {"file_key": "plant-1", "iv": "plant-2"})
    SyncJob.objects.filter(pk=job.pk).update(saved=saved)
    HealthDataFactory(record=job.record, content={"pulse": "plant-3"})

    page = admin.get(page_of(job.record)).content.decode()

    assert "file key, iv" in page
    assert "plant" not in page


def test_a_page_survives_what_the_vault_cannot_open(admin: Client) -> None:
    job = SyncJobFactory()
    SyncJob.objects.filter(pk=job.pk).update(saved=b"\x01" + bytes(100))

    assert "cannot be opened" in admin.get(page_of(job.record)).content.decode()


def test_a_page_shows_partners_that_are_gone_and_jobs_without_an_entry(admin: Client) -> None:
    record = DataUnionFactory(partners={"former": synced_entry("former")})
    job = SyncJobFactory(record=record)
    DataUnion.objects.filter(pk=record.pk).update(partners={"former": synced_entry("former")})

    page = admin.get(page_of(record)).content.decode()

    assert "https://former.example/object" in page
    assert f"/admin/dataunion/syncjob/{job.pk}/retry/" in page


def test_only_web_addresses_become_links(admin: Client) -> None:
    record = DataUnionFactory(partners={"akave": synced_entry("akave", url="javascript:alert(1)", block=12)})

    page = admin.get(page_of(record)).content.decode()

    assert 'href="javascript' not in page
    assert "javascript:alert(1)" in page


def test_a_record_without_data_or_partners_says_so(admin: Client) -> None:
    page = admin.get(page_of(DataUnionFactory(partners={}))).content.decode()

    assert "not handed in yet" in page
    assert "No partner takes this type of data." in page
    assert "Nothing was tried yet." in page


def test_records_cannot_be_written(admin: Client) -> None:
    record = DataUnionFactory()

    answers = [
        admin.post(page_of(record), {"user_hash": "changed"}),
        admin.get(f"{LIST}add/"),
        admin.post(f"{LIST}{record.pk}/delete/", {"post": "yes"}),
        admin.get(f"{LIST}nonsense/change/"),
    ]

    assert [answer.status_code for answer in answers] == [405, 403, 403, 404]
    assert DataUnion.objects.get().user_hash == record.user_hash


def test_nobody_counts_the_records(admin: Client) -> None:
    for record in DataUnionFactory.create_batch(200):
        SyncJobFactory(record=record, partner="vana", step=f"step-{record.pk.int % 40}")
        SyncAttemptFactory(record=record)

    for url in (
        LIST,
        f"{LIST}?status=error",
        "/admin/dataunion/syncjob/",
        "/admin/dataunion/syncattempt/",
        page_of(record),
        "/admin/",
    ):
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(url).status_code == 200
        assert len(queries) <= 25, url
        counted = [q["sql"] for q in queries if "COUNT(" in q["sql"].upper()]
        assert not [sql for sql in counted if '"dataunions"' in sql or '"syncattempts"' in sql], url


def conflicting_record() -> DataUnion:
    record = DataUnionFactory()
    SyncJobFactory(record=record, partner="vana", status="failed", error_class="conflict", error_message="taken")
    return record


def test_a_conflict_can_be_sent_under_a_new_name_by_operators(operator: Client, settings: object) -> None:
    settings.PARTNERS = {**settings.PARTNERS, "akave": {"BACKEND": "akave", "OPTIONS": {}}}
    record = conflicting_record()
    assert "Upload under a new name" in operator.get(page_of(record)).content.decode()

    answer = operator.post(f"{LIST}{record.pk}/rename/", follow=True)

    assert "It is being sent under a new name: akave." in answer.content.decode()
    assert list(SyncJob.objects.filter(partner="akave").values_list("status", flat=True)) == ["pending"]


def test_what_has_no_name_is_refused_with_the_reason(operator: Client) -> None:
    record = conflicting_record()

    answer = operator.post(f"{LIST}{record.pk}/rename/", follow=True)

    assert "no partner stores it under a name" in answer.content.decode()
    assert SyncJob.objects.count() == 1


def test_a_new_name_is_never_given_by_looking(operator: Client) -> None:
    assert operator.get(f"{LIST}{conflicting_record().pk}/rename/").status_code == 405


def test_a_viewer_can_give_no_new_name(viewer: Client) -> None:
    record = conflicting_record()

    assert viewer.post(f"{LIST}{record.pk}/rename/").status_code == 403
    assert "Upload under a new name" not in viewer.get(page_of(record)).content.decode()
