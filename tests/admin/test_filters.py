"""The filters of the lists, read from the model admins: what a list shows is what a retry of all that match means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib import admin as django_admin
from django.test import Client, RequestFactory
from django.utils import timezone

from dataunion import retries, search
from dataunion.admin.filters import JOB_FILTERS, RECORD_FILTERS, OfOpenWork, read_filter
from dataunion.models import DataUnion, SyncJob
from dataunion.state import FAILING
from dataunion.wording import say_filter
from tests.factories import AdminFactory, DataUnionFactory, RemoteRefFactory, SyncJobFactory

pytestmark = pytest.mark.django_db
LIST, RECORDS = "/admin/dataunion/syncjob/", "/admin/dataunion/dataunion/"
RUN = UUID(int=7)
LINKED = {"cause": "vana: store: HTTP 503", "run": str(RUN)}  # values that no list of choices offers


def shown(response: object) -> set[object]:
    return set(response.context["cl"].result_list)


def make_variety() -> list[SyncJob]:
    """Make work such that every filter has something to leave out."""
    old = timezone.now() - timedelta(days=9)
    return [
        SyncJobFactory(),
        SyncJobFactory(partner="akave"),
        SyncJobFactory(status="retrying", attempts=1),
        SyncJobFactory(status="blocked", attempts=0),
        SyncJobFactory(status="pending", error_class="transient"),
        SyncJobFactory(record=DataUnionFactory(data_type="checkin")),
        SyncJobFactory(error_class="internal", step="confirm"),
        SyncJobFactory(step="", attempts=9),
        SyncJobFactory(created_at=old),
        SyncJobFactory(changed_at=old),
        SyncJobFactory(cause=LINKED["cause"]),
        SyncJobFactory(run=RUN),
    ]


def listed(model: type, query: dict[str, str]) -> set[object]:
    """Return the rows of a list without its page, which costs more than all else here."""
    model_admin = django_admin.site._registry[model]
    request = RequestFactory().get("/", query)
    request.user = AdminFactory.build()
    return set(model_admin.get_changelist_instance(request).result_list)


def choices(user: object) -> Iterator[tuple[str, str]]:
    """Return every choice of every filter of the list of open work."""
    model_admin = django_admin.site._registry[SyncJob]
    for one in model_admin.list_filter:
        name = one.parameter_name
        request = RequestFactory().get(LIST)
        request.user = user
        given = {name: [LINKED[name]]} if name in LINKED else {}
        found = [value for value, _ in one(request, given, SyncJob, model_admin).lookup_choices]
        assert found, f"{name} has no choice to test"
        yield from ((name, value) for value in found)


def test_a_retry_of_all_that_match_means_the_failures_that_each_filter_shows(admin: Client) -> None:
    jobs = make_variety()
    failing = {job for job in jobs if job.status in FAILING}
    narrowing = set()

    for name, value in choices(admin.get(LIST).wsgi_request.user):
        rows = listed(SyncJob, {name: value})
        assert set(retries.matching(read_filter({name: value}))) == rows & failing, (name, value)
        narrowing |= {name} if rows < set(jobs) else set()

    assert narrowing == {one.parameter_name for one in JOB_FILTERS}


def test_two_filters_and_a_search_mean_the_same_to_both(admin: Client) -> None:
    record = DataUnionFactory(data_id="the-one")
    job = SyncJobFactory(record=record, attempts=3)
    SyncJobFactory(record=record, partner="akave", attempts=3)
    SyncJobFactory(attempts=3)
    query = {"partner": "vana", "attempts": "2-5", "status": "error", "changed": "1h", "q": "the-one"}

    assert shown(admin.get(LIST, query)) == {job} == set(retries.matching(read_filter(query)))


@pytest.mark.parametrize("query", [{"run": "nonsense"}, {"q": "jane@example.org"}, {"q": "no such thing"}])
def test_what_finds_nothing_is_retried_nowhere(admin: Client, query: dict[str, str]) -> None:
    SyncJobFactory()

    assert shown(admin.get(LIST, query)) == set() == set(retries.matching(read_filter(query)))


def test_a_run_whose_filter_is_not_known_touches_nothing() -> None:
    SyncJobFactory()

    assert not retries.matching({"partner": "vana", "word_of_a_newer_version": "x"}).exists()


def test_a_saved_link_shows_nothing_once_its_error_class_is_gone(admin: Client) -> None:
    SyncJobFactory()

    assert shown(admin.get(LIST, {"error_class": "internal"})) == set()


def test_a_parameter_that_is_no_filter_is_refused(admin: Client) -> None:
    SyncJobFactory()

    answers = [admin.get(LIST, {"user_hash": "someone"}), admin.get(RECORDS, {"data_id__contains": "a"})]

    assert [answer.status_code for answer in answers] == [400, 400]


def test_a_filter_in_use_can_be_dropped_and_sent_on(admin: Client) -> None:
    SyncJobFactory(cause=LINKED["cause"])

    response = admin.get(LIST, {"cause": LINKED["cause"], "status": "failed", "after": "x"})

    cl = response.context["cl"]
    assert [(chip.title, chip.words, chip.drop_url) for chip in cl.chips] == [
        ("status", "failed", "?cause=vana%3A+store%3A+HTTP+503"),
        ("cause", LINKED["cause"], "?status=failed"),
    ]
    assert cl.shared_url == "?cause=vana%3A+store%3A+HTTP+503&status=failed"
    assert 'data-link="?cause=vana%3A+store%3A+HTTP+503&amp;status=failed"' in response.content.decode()


def test_cause_and_run_stand_among_the_filters_only_when_a_link_leads_there(admin: Client) -> None:
    SyncJobFactory(cause=LINKED["cause"], run=RUN)

    plain = admin.get(LIST).context["cl"].filter_specs
    linked = admin.get(LIST, {"run": str(RUN)}).context["cl"].filter_specs

    assert {"cause", "run"} & {spec.parameter_name for spec in plain} == set()
    assert {"cause", "run"} & {spec.parameter_name for spec in linked} == {"run"}


def test_records_are_narrowed_by_each_filter_of_open_work_as_the_work_is(admin: Client) -> None:
    make_variety()
    DataUnionFactory()
    own = {one.parameter_name for one in RECORD_FILTERS if issubclass(one, OfOpenWork)}
    assert own == {one.parameter_name for one in JOB_FILTERS} - {"data_type"}

    for name, value in choices(admin.get(LIST).wsgi_request.user):
        if name in own:
            records = {job.record_id for job in listed(SyncJob, {name: value})}
            assert {record.pk for record in listed(DataUnion, {name: value})} == records, (name, value)


@pytest.mark.parametrize("kind", ["object_key", "tx_hash", "file_id"])
def test_both_lists_find_a_remote_reference(admin: Client, kind: str) -> None:
    job, _ = SyncJobFactory(), SyncJobFactory()
    RemoteRefFactory(record=job.record, kind=kind, value=f"needle/{kind}")

    assert shown(admin.get(LIST, {"q": f"needle/{kind}"})) == {job}
    assert shown(admin.get(RECORDS, {"q": f" needle/{kind} "})) == {job.record}


def test_both_lists_find_a_reference_that_was_too_long_to_keep(admin: Client) -> None:
    job, key = SyncJobFactory(), "k" * 300
    RemoteRefFactory(record=job.record, kind="object_key", value=key[:200])

    assert (shown(admin.get(LIST, {"q": key})), shown(admin.get(RECORDS, {"q": key}))) == ({job}, {job.record})


def test_both_lists_find_a_data_id_of_several_users(admin: Client) -> None:
    jobs = {SyncJobFactory(record=DataUnionFactory(data_id="2026-01-01")) for _ in range(2)}
    SyncJobFactory()

    assert shown(admin.get(LIST, {"q": "2026-01-01"})) == jobs
    assert shown(admin.get(RECORDS, {"q": "2026-01-01"})) == {job.record for job in jobs}


def test_open_work_shows_where_else_its_record_is(admin: Client) -> None:
    record = DataUnionFactory()
    SyncJobFactory(record=record, partner="vana", status="blocked")

    row = admin.get(LIST).content.decode().split('<tr class="data-row')[1].split("</tr>")[0]

    assert (row.count("akave"), "synced" in row) == (1, True)
    assert DataUnion.objects.get().pk == record.pk


def test_whatever_a_run_can_hold_is_said_in_words(admin: Client) -> None:
    make_variety()
    queries = [{name: value} for name, value in choices(admin.get(LIST).wsgi_request.user)]
    queries += [
        {"q": "nobody"},
        {"q": str(SyncJob.objects.values_list("record_id", flat=True)[0])},
        {"q": "a@b.example"},
    ]

    said = {name: say_filter({name: value}) for query in queries for name, value in read_filter(query).items()}

    assert {name for name, words in said.items() if words.startswith(name + " ") and "__" in name} == set()
    assert said["attempts__gte"] == "attempts 6 or more"
    assert said["step__in"] == "at its first step"
    assert said["record_id__in"] == "0 records found by a name"


def test_a_name_of_very_many_records_says_that_it_shows_the_newest(admin: Client) -> None:
    records = [DataUnion(user_hash=f"u{n}", data_type="health", data_id="same") for n in range(search.MOST + 1)]
    DataUnion.objects.bulk_create(records)

    page = admin.get(RECORDS, {"q": "same"})

    assert shown(page) == set(records[-50:])
    assert "At least 500 records bear this name; these are of the newest." in page.content.decode()
