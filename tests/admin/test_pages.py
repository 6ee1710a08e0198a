"""The dashboard and attempts; and every page for someone who is not signed in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from dataunion import roster, stats
from dataunion.models import Partner, SyncAttempt, TaskLease
from tests.factories import DataUnionFactory, RetryRunFactory, SyncAttemptFactory, SyncJobFactory, synced_entry

pytestmark = pytest.mark.django_db
RUNS, ATTEMPTS = "/admin/dataunion/retryrun/", "/admin/dataunion/syncattempt/"


def tick(ago: timedelta) -> None:
    TaskLease.objects.create(name="tick", ran_at=timezone.now() - ago)


def test_the_dashboard_tells_how_each_partner_does(viewer: Client) -> None:
    DataUnionFactory.create_batch(3)
    SyncJobFactory(record=DataUnionFactory(), partner="vana", status="retrying")
    roster.pause(roster.get_partner("vana"), reason="balance is low", by="system")

    response = viewer.get("/admin/")

    cards = {card["row"].name: card for card in response.context["cards"]}
    assert response.context["records"] == 4
    assert (cards["akave"]["rate"], cards["vana"]["rate"]) == (100, 75)
    assert (cards["vana"]["counts"].synced, cards["vana"]["counts"].failed) == (3, 1)
    assert "balance is low" in response.content.decode()


def test_the_dashboard_names_causes_with_the_commonest_first(viewer: Client) -> None:
    SyncJobFactory.create_batch(2, step="store", error_message="vana: store: refused")
    SyncJobFactory(partner="akave", step="", status="retrying", error_class="transient")
    SyncJobFactory(status="pending", error_class="permanent", step="store")

    causes = viewer.get("/admin/").context["causes"]

    first = causes[0]
    assert [(cause["row"].partner, cause["row"].count) for cause in causes] == [("vana", 2), ("akave", 1)]
    assert first["example"] == "vana: store: refused"
    assert len(viewer.get(first["url"]).context["cl"].result_list) == 2
    assert len(viewer.get(causes[1]["url"]).context["cl"].result_list) == 1


def test_the_numbers_of_the_dashboard_lead_to_as_many_jobs(viewer: Client) -> None:
    for status in ("pending", "running", "retrying", "failed", "failed", "blocked"):
        SyncJobFactory(status=status)

    card = next(c for c in viewer.get("/admin/").context["cards"] if c["row"].name == "vana")

    assert (card["counts"].pending, card["counts"].failed) == (2, 4)
    assert len(viewer.get(card["open_url"]).context["cl"].result_list) == 2
    assert len(viewer.get(card["failed_url"]).context["cl"].result_list) == 4


def test_the_dashboard_says_when_a_partner_wants_peace(viewer: Client) -> None:
    roster.find_partners()
    Partner.objects.filter(name="vana").update(not_before=timezone.now() + timedelta(seconds=90))

    assert "asked us to wait" in viewer.get("/admin/").content.decode()


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (None, "The clock has never ticked: due retries wait. Start beat."),
        (timedelta(minutes=7, seconds=5), "The clock has not ticked for 7 minutes: due retries wait. Start beat."),
        (timedelta(seconds=5), ""),
    ],
)
def test_a_clock_that_stands_still_is_said(viewer: Client, ago: timedelta | None, words: str) -> None:
    if ago is not None:
        tick(ago)

    assert viewer.get("/admin/").context["late_clock"] == words


def test_all_is_well_is_said(viewer: Client) -> None:
    tick(timedelta(0))

    assert "Nothing. Every partner takes what is sent to it." in viewer.get("/admin/").content.decode()


def test_the_counters_are_not_needed_folded(viewer: Client) -> None:
    DataUnionFactory(partners={"akave": synced_entry("akave")})
    stats.fold()
    DataUnionFactory()

    response = viewer.get("/admin/")

    assert [(card["counts"].synced) for card in response.context["cards"]] == [2, 1]


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


def find_admin_urls() -> list[str]:
    """Return every address of the admin, ids made up."""
    found = []
    patterns = next(p for p in get_resolver().url_patterns if getattr(p, "app_name", "") == "admin").url_patterns
    for outer in patterns:
        for inner in getattr(outer, "url_patterns", [None]):
            route = str(outer.pattern) + (str(inner.pattern) if inner else "")
            for part in ("<path:object_id>", "<uuid:pk>", "<id>"):
                route = route.replace(part, "00000000-0000-0000-0000-000000000000")
            if not any(sign in route for sign in "<(?"):
                found.append("/admin/" + route)
    return [url for url in found if url not in ("/admin/login/", "/admin/jsi18n/", "/admin/logout/")]


def test_no_page_is_open_to_anyone(db: None) -> None:
    urls = find_admin_urls()

    for url in urls:
        for answer in (Client().get(url), Client().post(url)):
            assert (answer.status_code, answer.headers.get("Location", "").partition("?")[0]) == (
                302,
                "/admin/login/",
            ), url
    assert len(urls) > 50


@pytest.mark.parametrize("url", [RUNS, ATTEMPTS, "/admin/dataunion/syncjob/", "/admin/dataunion/dataunion/"])
def test_rights_to_look_are_asked_for_on_every_row(url: str) -> None:
    from tests.factories import StaffFactory

    newcomer = Client()
    newcomer.force_login(StaffFactory())
    SyncJobFactory(), SyncAttemptFactory(), RetryRunFactory()

    assert newcomer.get(url).status_code == 403
    assert newcomer.get(f"{url}00000000-0000-0000-0000-000000000000/change/").status_code == 403
