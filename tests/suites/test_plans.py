"""The hot questions are answered from an index, on each database, among enough rows that it has a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from dataunion import claims
from dataunion.models import SyncJob
from tests.database import own_database
from tests.suites.plans import SCAN, WALK, recorded, scans_avoided
from tests.suites.questions import NEWEST, QUESTIONS, SUMMARIES, TABLES, fill


@pytest.fixture(scope="module")
def django_db_setup(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[None]:
    """Give a database of these tests' own, filled once."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    with django_db_blocker.unblock(), own_database("plans", tmp_path_factory.mktemp("plans")):
        fill()
        yield


def plans_of(ask: Callable[[], object]) -> dict[str, tuple[str, ...]]:
    """Return how each statement of a question about a table that grows is answered."""
    with recorded() as statements:
        ask()
    with scans_avoided() if ask in SUMMARIES else nullcontext():
        return {one.text: one.read_plan() for one in statements if one.table in TABLES}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_hot_question_is_answered_from_an_index(question: str, django_db_setup: None) -> None:
    plans = plans_of(QUESTIONS[question])

    assert plans
    assert {text: plan for text, plan in plans.items() if not plan or {SCAN, WALK} & set(plan)} == {}


def test_a_chunk_is_leased_by_its_keys_however_many_jobs_are_of_its_status(django_db_setup: None) -> None:
    with recorded() as statements:
        claimed = claims.claim("akave", limit=50)

    leases = [one.read_plan() for one in statements if one.table == "syncjobs" and "update" in one.text.lower()[:10]]
    assert len(claimed) == 50
    assert len(leases) == 1
    assert all(name.startswith(("sqlite_autoindex_syncjobs_1", "_id_", "syncjobs_pkey")) for name in leases[0])


@pytest.mark.sqlite_only("sorts")
def test_a_claim_sorts_no_more_than_it_takes(django_db_setup: None) -> None:
    with recorded() as statements:
        claims.claim("akave", limit=50)

    choices = [one.explain() for one in statements if one.table == "syncjobs" and "LIMIT 50" in one.text]
    assert len(choices) == 4  # of each status that can be claimed, live and bulk
    assert [plan for plan in choices if "TEMP B-TREE" in plan] == []


@pytest.mark.parametrize("question", NEWEST)
def test_the_newest_are_found_without_a_full_scan(question: str, django_db_setup: None) -> None:
    plans = plans_of(NEWEST[question])

    assert plans
    assert {text: plan for text, plan in plans.items() if not plan or SCAN in plan} == {}


@pytest.mark.mongodb_only("backend")
@pytest.mark.parametrize("question", {**QUESTIONS, **NEWEST})
def test_an_order_is_asked_for_where_an_index_can_give_it(question: str, django_db_setup: None) -> None:
    with recorded() as statements:
        {**QUESTIONS, **NEWEST}[question]()

    before = {one.stages[: one.stages.index("$sort")] for one in statements if "$sort" in one.stages}
    assert {stages for stages in before if "$group" not in stages} <= {(), ("$match",)}  # or of what was counted up


def test_a_full_scan_is_told(django_db_setup: None) -> None:
    assert set(plans_of(lambda: list(SyncJob.objects.filter(trigger="nobody"))).values()) == {(SCAN,)}
