"""The page of one record: links, receipts, the timeline, what happens next, and the buttons of the moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion import roster
from dataunion.admin.receipts import read_receipt
from dataunion.admin.timeline import LATEST, say_trigger
from dataunion.models import DataUnion, Partner, SyncAttempt, SyncJob
from dataunion.state import add_spent
from tests.factories import DataUnionFactory, SyncAttemptFactory, SyncJobFactory, synced_entry

pytestmark = pytest.mark.django_db
TX = "0x" + "ab" * 32


def page_of(record: DataUnion) -> str:
    return f"/admin/dataunion/dataunion/{record.pk}/change/"


def use_vana(**config: str) -> None:
    roster.find_partners()
    Partner.objects.filter(name="vana").update(adapter="vana", config=config)


def test_a_nested_receipt_is_read_as_headings_and_lines() -> None:
    found = read_receipt(
        {
            "reward": {"amount": "5", "tx_hash": TX},
            "file_id": 12,
            "proof": {"url": "https://tee.example/p", "score": "", "checks": [{"name": "owner", "passed": True}]},
            "tags": ["a", "b"],
            "remains": None,
        }
    )

    shown = {part["title"]: {line["name"]: line["value"] for line in part["lines"]} for part in found}
    assert list(shown)[0] == ""
    assert shown == {
        "": {"File id": 12, "Tags": "a, b"},
        "Reward": {"Amount, in the token's smallest unit": "5", "Transaction": TX},
        "Proof": {"Address": "https://tee.example/p"},
        "Proof · Checks 1": {"Name": "owner", "Passed": "yes"},
    }


def test_transactions_lead_to_the_explorer_of_the_chain(admin: Client) -> None:
    use_vana(chain_id="14800")
    reward = {"amount": "5", "tx_hash": TX.upper().replace("0X", "0x")}
    record = DataUnionFactory(partners={"vana": synced_entry("vana", tx_hash=TX, reward=reward)})

    page = admin.get(page_of(record)).content.decode()

    assert f'href="https://moksha.vanascan.io/tx/{TX}"' in page
    assert f'href="https://moksha.vanascan.io/tx/{reward["tx_hash"]}"' in page
    assert "{&#x27;" not in page


@pytest.mark.parametrize(
    ("config", "tx_hash", "link"),
    [
        ({"chain_id": "1480"}, TX, f"https://vanascan.io/tx/{TX}"),
        ({"chain_id": "1480", "explorer_url": "https://x.example/"}, TX, f"https://x.example/tx/{TX}"),
        ({"chain_id": "1"}, TX, ""),
        ({"chain_id": "1480"}, "nonsense", ""),
    ],
)
def test_a_link_to_an_explorer_needs_a_chain_that_is_known_and_a_hash(
    config: dict[str, str], tx_hash: str, link: str
) -> None:
    use_vana(**config)

    found = roster.find_links(roster.get_partner("vana"), {"tx_hash": tx_hash, "reward": "of an older version"})

    assert [url for _, url in found] == ([link] if link else [])


def test_secrets_are_no_options_for_links(settings: object) -> None:
    settings.PARTNERS = {"vana": {"BACKEND": "vana", "OPTIONS": {"chain_id": "1480", "private_key": "plant"}}}

    assert roster.read_options(roster.get_partner("vana")) == {"chain_id": "1480"}


def test_the_object_at_akave_is_a_link_of_its_own(admin: Client) -> None:
    roster.find_partners()
    Partner.objects.filter(name="akave").update(adapter="akave")
    record = DataUnionFactory(partners={"akave": synced_entry("akave")})

    assert "The encrypted object ↗" in admin.get(page_of(record)).content.decode()


def test_a_timeline_goes_from_the_newest_back_to_the_hand_in(admin: Client) -> None:
    now = timezone.now()
    record = DataUnionFactory(
        created_at=now - timedelta(hours=3), partners={"vana": synced_entry("vana", synced_at=now.isoformat())}
    )
    first = SyncAttemptFactory(record=record, started_at=now - timedelta(hours=2), duration_ms=1000)
    second = SyncAttemptFactory(
        record=record,
        started_at=first.started_at + timedelta(seconds=61),
        step="confirm_register",
        trigger="retry run by grace",
    )

    response = admin.get(page_of(record))

    events = response.context["events"]
    assert [event["row"] or event["words"] for event in events] == [
        "vana has it",
        second,
        first,
        "The record came in",
    ]
    assert [event["waited"] for event in events[1:3]] == ["1 minute", ""]
    assert "step confirm register" in response.content.decode()
    assert "Asked for by a retry run by grace; 1 minute after the attempt before" in response.content.decode()


def test_a_sync_that_an_attempt_tells_is_told_once(admin: Client) -> None:
    record = DataUnionFactory(partners={"vana": synced_entry("vana")})
    SyncAttemptFactory(record=record, outcome="synced", error_message="", error_class="")

    assert "vana has it" not in admin.get(page_of(record)).content.decode()


def test_what_was_taken_back_is_told(admin: Client) -> None:
    record = DataUnionFactory(partners={"vana": synced_entry("vana", withdrawn_at="2026-03-04T05:06:07+00:00")})

    page = admin.get(page_of(record)).content.decode()

    assert "It was taken back from vana" in page
    assert "Taken back: vana is not to have it any more." in page


def test_a_long_history_leads_to_all_attempts(admin: Client) -> None:
    record = DataUnionFactory()
    SyncAttempt.objects.bulk_create([SyncAttemptFactory.build(record=record) for _ in range(LATEST + 1)])

    response = admin.get(page_of(record))

    assert sum(event["row"] is not None for event in response.context["events"]) == LATEST
    assert f'href="/admin/dataunion/syncattempt/?q={record.pk}"' in response.content.decode()
    assert "The record came in" not in response.content.decode()


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ("ingest", "asked for when the record came in"),
        ("audit", "asked for by the audit, which found it missing"),
        ("report", "asked for by a service, which reported it as missing"),
        ("retry run by grace", "asked for by a retry run by grace"),
        ("API key abc (phone app)", "asked for by API key abc (phone app)"),
        ("grace", "asked for by grace"),
        ("", ""),
    ],
)
def test_who_asked_is_said_in_words(trigger: str, words: str) -> None:
    assert say_trigger(trigger) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "pending", "attempts": 0}, "Sent <time"),
        ({"status": "retrying", "attempts": 2}, "Tried again <time"),
        ({"status": "pending", "waiting_since": timezone.now()}, "Looked at again <time"),
    ],
)
def test_the_next_time_is_said_in_words(admin: Client, changes: dict[str, object], words: str) -> None:
    job = SyncJobFactory(due_at=timezone.now() + timedelta(hours=2, minutes=1), **changes)

    page = admin.get(page_of(job.record)).content.decode()

    assert words in page
    assert "in 2 hours" in page


def test_blocked_work_names_the_partner_that_it_waits_for(admin: Client) -> None:
    use_vana()
    record = DataUnionFactory()
    for partner, status in (("akave", "failed"), ("vana", "blocked")):
        SyncJobFactory(record=record, partner=partner, status=status)

    assert "Blocked until akave has it." in admin.get(page_of(record)).content.decode()


def test_no_button_retries_at_a_partner_that_is_gone(admin: Client) -> None:
    job = SyncJobFactory(partner="former")

    assert f"/admin/dataunion/syncjob/{job.pk}/retry/" not in admin.get(page_of(job.record)).content.decode()


def test_no_button_renames_where_that_would_be_refused(admin: Client) -> None:
    job = SyncJobFactory(partner="vana", error_class="conflict")

    assert "Upload under a new name" not in admin.get(page_of(job.record)).content.decode()


def test_a_record_leads_to_its_person(admin: Client) -> None:
    record = DataUnionFactory(user_hash="u1")

    assert 'href="/admin/dataunion/dataunion/person/?user=u1"' in admin.get(page_of(record)).content.decode()


def test_the_pages_of_lists_records_and_persons_cost_a_few_queries(admin: Client) -> None:
    records = DataUnionFactory.create_batch(60, user_hash="u1")
    for record in records:
        SyncJobFactory(record=record, error_class=f"class-{record.pk.int % 40}")
        SyncAttemptFactory(record=record)

    for url in (
        "/admin/dataunion/syncjob/?attempts=2-5&changed=1h&q=u1",
        "/admin/dataunion/dataunion/?status=failed&attempts=2-5&q=u1",
        "/admin/dataunion/dataunion/person/?user=u1",
        page_of(records[0]),
    ):
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(url).status_code == 200
        assert len(queries) <= 25, (url, len(queries))
    assert SyncJob.objects.count() == 60


def test_an_attempt_shows_what_each_step_took(admin: Client) -> None:
    record = DataUnionFactory()
    since = "2026-01-02T03:04:05+00:00"
    spent = add_spent(add_spent(None, "store", took_ms=1400, since=since), "confirm_register", took_ms=90, since=since)
    SyncAttemptFactory(record=record, spent=spent)
    SyncAttemptFactory(record=record, started_at=timezone.now(), spent=None)

    response = admin.get(page_of(record))

    [without, with_steps] = [event for event in response.context["events"] if event["row"]]
    assert with_steps["steps"] == ["store 1.4 s", "confirm register 90 ms"]
    assert (with_steps["over"], without["steps"], without["over"]) == ("", [], "")
    assert response.content.decode().count("Time spent in each step") == 1


def test_an_attempt_that_waited_says_over_how_long_it_went_on(admin: Client) -> None:
    record = DataUnionFactory()
    spent = None
    for _ in range(3):
        spent = add_spent(spent, "confirm", took_ms=40, since="2026-01-02T03:02:05+00:00")
    SyncAttemptFactory(record=record, spent=spent, duration_ms=60)

    page = admin.get(page_of(record)).content.decode()

    assert "went on for 2 minutes, its last run took 60 ms" in page
    assert "<li>confirm 120 ms in 3 goes</li>" in page
