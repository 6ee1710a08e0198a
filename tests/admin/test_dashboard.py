"""The first page: how each partner does, what is stuck and why, and that it asks anew by itself."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataunion import roster, stats
from dataunion.models import Partner, SyncJob, TaskLease
from tests.factories import (
    DataUnionFactory,
    HourStatFactory,
    PartnerFactory,
    SyncAttemptFactory,
    SyncJobFactory,
    hours_ago,
    synced_entry,
)

pytestmark = pytest.mark.django_db


def tick(ago: timedelta, name: str = "tick") -> None:
    TaskLease.objects.create(name=name, ran_at=timezone.now() - ago)


def test_the_dashboard_tells_how_each_partner_does(viewer: Client) -> None:
    DataUnionFactory.create_batch(3)
    SyncJobFactory(record=DataUnionFactory(), partner="vana", status="retrying")
    PartnerFactory(name="new")
    roster.pause(roster.get_partner("vana"), reason="balance is low", by="system")

    response = viewer.get("/admin/")

    cards = {card["row"].name: card for card in response.context["cards"]}
    assert response.context["records"] == 4
    assert (cards["akave"]["rate"], cards["vana"]["rate"]) == (100, 75)
    assert cards["new"]["rate_words"] == "none yet"
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


# --- causes


def fail(count: int, **fields: object) -> list[SyncJob]:
    return [SyncJobFactory(**fields) for _ in range(count)]


def test_failures_are_grouped_by_their_cleaned_message(viewer: Client) -> None:
    fail(2, cause="vana: store: HTTP 503", error_message="vana: store: HTTP 503", changed_at=hours_ago(2.5))
    fail(1, cause="vana: store: HTTP 503", error_message="vana: store: HTTP 503", changed_at=hours_ago(0.2))
    fail(1, cause="vana: store: HTTP 429", error_message="vana: store: HTTP 429")

    page = viewer.get("/admin/")

    first, second = page.context["causes"]
    assert [(cause["row"].cause, cause["row"].count) for cause in (first, second)] == [
        ("vana: store: HTTP 503", 3),
        ("vana: store: HTTP 429", 1),
    ]
    assert ("2 hours ago" in first["first"], "12 minutes ago" in first["latest"]) == (True, True)
    assert first["remedy"] in page.content.decode().replace("&#x27;", "'")


def test_an_operator_is_led_to_retry_exactly_the_group(operator: Client) -> None:
    fail(2, cause="HTTP 503", error_class="transient", status="retrying")
    fail(1, cause="HTTP 429", error_class="transient")

    cause = operator.get("/admin/").context["causes"][0]

    assert parse_qs(urlsplit(cause["retry_url"]).query) == {
        "partner": ["vana"],
        "step": ["store"],
        "error_class": ["transient"],
        "cause": ["HTTP 503"],
        "status": ["error"],
    }
    confirmation = operator.get(cause["retry_url"])
    assert confirmation.context["able"] == 2
    assert "message “HTTP 503”" in confirmation.content.decode()
    operator.post(urlsplit(cause["retry_url"]).path, dict(confirmation.context["hidden"]) | {"confirmed": "yes"})
    assert sorted(SyncJob.objects.values_list("cause", "status")) == [
        ("HTTP 429", "failed"),
        ("HTTP 503", "pending"),
        ("HTTP 503", "pending"),
    ]


def test_a_group_before_the_first_step_is_retried_exactly(operator: Client) -> None:
    fail(2, step="", cause="HTTP 503", error_class="transient", status="retrying")
    fail(1, step="store", cause="HTTP 503", error_class="transient", status="retrying")

    cause = operator.get("/admin/").context["causes"][0]

    confirmation = operator.get(cause["retry_url"])
    assert "at its first step" in confirmation.content.decode()
    assert len(operator.get(cause["url"]).context["cl"].result_list) == 2
    operator.post(urlsplit(cause["retry_url"]).path, dict(confirmation.context["hidden"]) | {"confirmed": "yes"})
    assert sorted(SyncJob.objects.values_list("step", "status")) == [
        ("", "pending"),
        ("", "pending"),
        ("store", "retrying"),
    ]


def test_a_viewer_sees_no_button_to_retry(viewer: Client) -> None:
    fail(1, cause="HTTP 503")

    page = viewer.get("/admin/").content.decode()

    assert ("See 1 job" in page, "retry-matching" in page, "Retry 1" in page) == (True, False, False)


@pytest.mark.parametrize(
    ("groups", "can_retry"),
    [
        # The rest, alone: its filter without a message means these jobs only.
        ([{"cause": None}], [True]),
        # The rest beside others: a filter without a message would take these as well.
        ([{"cause": None}, {"cause": None}, {"cause": "HTTP 503"}], [False, True]),
        # Before the first step, beside others of the partner.
        ([{"step": "", "cause": "x"}, {"step": "", "cause": "x"}, {"step": "store", "cause": "x"}], [True, True]),
        ([{"step": "", "cause": "x"}, {"step": "", "cause": "x"}, {"partner": "akave", "cause": "x"}], [True, True]),
        ([{"error_class": "", "cause": "x"}, {"error_class": "", "cause": "x"}, {"cause": "x"}], [False, True]),
        # A message that is empty cannot be asked for either.
        ([{"cause": ""}, {"cause": ""}, {"cause": "x"}], [False, True]),
        # Blocked jobs wait for something else than a retry.
        ([{"cause": "x", "status": "blocked"}], [False]),
    ],
)
def test_no_button_retries_more_than_it_says(
    operator: Client, groups: list[dict[str, object]], can_retry: list[bool]
) -> None:
    for fields in groups:
        SyncJobFactory(**fields)

    causes = operator.get("/admin/").context["causes"]

    assert [cause["can_retry"] for cause in causes] == can_retry
    for cause in causes:
        if cause["can_retry"]:
            assert operator.get(cause["retry_url"]).context["able"] == cause["row"].count


def test_only_the_commonest_causes_are_shown_and_the_others_counted(viewer: Client) -> None:
    fail(2, cause="often")
    for n in range(21):
        SyncJobFactory(cause=f"rare {n:02}")

    page = viewer.get("/admin/")

    assert (len(page.context["causes"]), page.context["causes"][0]["row"].cause) == (20, "often")
    assert page.context["other_failures"] == 2
    assert "2 more jobs failed for rarer causes." in page.content.decode()


# --- over time


def test_a_card_tells_speed_and_success_over_the_chosen_window(viewer: Client) -> None:
    HourStatFactory(count=30, durations={"100": 20, "3000": 10})
    HourStatFactory(outcome="permanent", count=10, durations={"10": 10})
    HourStatFactory(hour=hours_ago(24 * 3).replace(minute=0, second=0, microsecond=0), count=60, durations={"10": 60})

    day, week = (
        next(card for card in viewer.get(f"/admin/{query}").context["cards"] if card["row"].name == "vana")
        for query in ("", "?window=7d")
    )

    assert (day["attempts"], day["attempts_rate"], day["half"], day["most"]) == (
        40,
        "75 %",
        "at most 100 ms",
        "at most 3 s",
    )
    assert (week["attempts"], week["attempts_rate"], week["half"]) == (100, "90 %", "at most 10 ms")
    assert day["synced_lately"] == week["synced_lately"] == 30


def test_charts_tell_the_same_as_their_tables(viewer: Client) -> None:
    HourStatFactory(count=3)
    HourStatFactory(outcome="transient", count=2, durations={"10": 2})
    HourStatFactory(partner="akave", outcome="permanent", count=1, durations={"10": 1})

    outcomes, synced = viewer.get("/admin/").context["charts"]

    drawn = json.loads(outcomes["data"])
    assert outcomes["series"] == ["Synced", "To be tried again", "Failed"]
    assert [series["data"][-1] for series in drawn["datasets"]] == outcomes["rows"][0]["values"] == [3, 2, 1]
    assert (len(drawn["labels"]), len(drawn["times"]), len(outcomes["rows"])) == (24, 24, 24)
    assert (synced["series"], synced["rows"][0]["values"]) == (["akave", "vana"], [0, 3])


def test_days_keep_their_names_and_an_unknown_window_means_the_usual_one(viewer: Client) -> None:
    month, unknown = (viewer.get(f"/admin/?window={key}").context for key in ("30d", "century"))

    assert json.loads(month["charts"][0]["data"])["times"] == []
    assert json.loads(month["charts"][0]["options"])["scales"]["x"]["title"] == {"display": True, "text": "UTC"}
    assert month["charts"][0]["rows"][0]["name"] == f"{timezone.now().day} {timezone.now():%b}"
    assert unknown["window"].words == "24 hours"


def test_the_last_hour_is_counted_at_once(viewer: Client) -> None:
    SyncAttemptFactory(outcome="synced", duration_ms=200_000)

    context = viewer.get("/admin/?window=1h").context

    card = next(card for card in context["cards"] if card["row"].name == "vana")
    assert (card["attempts"], card["per_hour"] != "0", card["half"]) == (1, True, "more than 100 s")
    assert (context["late_count"], "ago" in context["counted"]) == ("", False)


@pytest.mark.parametrize(
    ("ago", "words"),
    [(None, "Attempts were not counted yet"), (timedelta(minutes=9), "for 9 minutes"), (timedelta(minutes=1), "")],
)
def test_it_is_said_when_attempts_are_not_counted(viewer: Client, ago: timedelta | None, words: str) -> None:
    if ago is not None:
        tick(ago, "upkeep")

    late = viewer.get("/admin/").context["late_count"]

    assert words in late
    assert bool(late) == bool(words)


# --- it refreshes itself


def test_a_refresh_gets_the_figures_without_the_page_around_them(viewer: Client) -> None:
    SyncJobFactory(cause="HTTP 503")

    whole = viewer.get("/admin/?window=7d").content.decode()
    part = viewer.get("/admin/?window=7d", headers={"HX-Request": "true"}).content.decode()

    assert 'hx-get="/admin/?window=7d" hx-trigger="every 60s [mayRefresh()], look"' in whole
    assert part.strip().startswith('<div id="figures" data-at="')
    assert ("HTTP 503" in part or "refused" in part, "<html" in part, "hx-get" in part) == (True, False, False)


def test_a_refresh_needs_the_same_rights(db: None) -> None:
    from tests.admin.conftest import sign_in
    from tests.factories import StaffFactory

    newcomer = sign_in(StaffFactory()).get("/admin/", headers={"HX-Request": "true"})
    stranger = Client().get("/admin/", headers={"HX-Request": "true"})

    for answer in (newcomer, stranger):
        assert 'id="figures"' not in answer.content.decode()
    assert (newcomer.status_code, stranger.status_code) == (200, 286)


def test_every_page_loads_the_script_for_local_times(viewer: Client) -> None:
    for url in ("/admin/", "/admin/dataunion/syncjob/"):
        assert '<script src="/static/dataunion/times.js"></script>' in viewer.get(url).content.decode()


@pytest.mark.parametrize("query", ["", "?window=1h", "?window=30d"])
def test_the_page_asks_at_most_25_questions_for_five_partners(operator: Client, query: str) -> None:
    for name in ("first", "second", "third"):
        PartnerFactory(name=name)
    for name in ("akave", "vana", "first"):
        SyncJobFactory(partner=name, cause="x")
        SyncJobFactory(partner=name, cause=None)
        HourStatFactory(partner=name)
    operator.get("/admin/")

    with CaptureQueriesContext(
        connection,
    ) as asked:
        page = operator.get(f"/admin/{query}")

    assert len(page.context["cards"]) == 5
    assert len(asked) <= 25
