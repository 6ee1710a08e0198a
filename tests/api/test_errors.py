"""Whatever goes wrong is said as application/problem+json, and nothing is stored half."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import Client

from dataunion import ingest, reports, retries, roster
from dataunion.api import errors
from dataunion.conf import Conf
from dataunion.models import DataUnion, SyncJob
from tests.api.conftest import Ask, assert_problem
from tests.factories import AdminFactory, DataUnionFactory

pytestmark = pytest.mark.django_db
NOWHERE = "There is nothing at this address; /api/docs lists what there is."
INTERNAL = "Something is wrong on our side; it was logged. Ask again, or tell the operator when it was."


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/record",
        "/api/v2/stats",
        "/api/v1/records/7",
        "/api/v1/records/not-an-id/attempts",
        "/api/v1/records/../../admin",
        "/api/users/admin/sync-stats/more",
        "/api/schema.json",
        "/api/%00",
    ],
)
def test_an_unknown_path_is_not_found(ask: Ask, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "TRACE"):
        assert_problem(ask(None, method, path), 404, NOWHERE)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "records", "GET, HEAD, POST"),
        ("GET", "/api/users/admin/retry-failed-syncs", "POST"),
        ("POST", "/api/users/admin/sync-stats", "GET, HEAD"),
        ("PATCH", "stats", "GET, HEAD"),
        ("OPTIONS", "stats", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_said(ask: Ask, admin, method: str, path: str, allow: str) -> None:
    response = ask(admin, method, path)

    assert_problem(response, 405, f'Method "{method}" not allowed.')
    assert response["Allow"] == allow


def test_head_is_answered_as_get_is(ask: Ask, reader) -> None:
    response = ask(reader, "HEAD", "stats")

    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        (b"", "partner is missing; it should be one of: akave, vana"),
        (b"null", "This should be a JSON object."),
        (b'"vana"', "This should be a JSON object."),
        (b'{"partner": "vana"} x', "The body is not JSON: Extra data at line 1, column 21."),
        (
            b"{'partner': 'vana'}",
            "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2.",
        ),
        (b'{"partner": NaN}', "The body is not JSON that can be kept: NaN is no number in JSON."),
        (b'{"partner": -Infinity}', "The body is not JSON that can be kept: -Infinity is no number in JSON."),
        (b'{"partner": 1e999}', "The body is not JSON that can be kept: a number is too large for 64 bits."),
        (
            b'{"partner": "akave", "partner": "vana"}',
            "The body is not JSON that can be kept: a key stands twice in one object.",
        ),
        (b'{"partner": "\xff"}', "The body is not text in UTF-8, or holds half of a surrogate pair."),
        (b'{"partner": "\\ud800"}', "The body is not text in UTF-8, or holds half of a surrogate pair."),
        (b"[" * 100_000, "The body is not JSON that can be kept: nested too deep."),
        ('{"partner": "vana"}'.encode("utf-16"), "The body is not text in UTF-8, or holds half of a surrogate pair."),
    ],
)
def test_a_body_that_is_not_good_json_is_refused(ask: Ask, admin, body: bytes, sentence: str) -> None:
    assert_problem(ask(admin, "POST", "/api/users/admin/retry-failed-syncs", body), 400, sentence)


def test_a_number_with_too_many_digits_is_refused(ask: Ask, ingester) -> None:
    body = b'{"user_hash": "u", "data_type": "health", "data_id": "d", "payload": ' + b"9" * 5000 + b"}"

    response = ask(ingester, "POST", "records", body)

    assert response.status_code == 400
    assert response.json()["error"].startswith("The body is not JSON that can be kept: Exceeds the limit")
    assert not DataUnion.objects.exists()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_refused(ask: Ask, ingester, content_type: str) -> None:
    response = ask(ingester, "POST", "records", b'{"user_hash": "u"}', **{"Content-Type": content_type})

    assert response.status_code == 415
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["error"].startswith("Unsupported media type")


def test_json_may_name_its_charset(ask: Ask, ingester) -> None:
    body = {"user_hash": "u", "data_type": "health", "data_id": "d"}

    assert (
        ask(ingester, "POST", "records", body, **{"Content-Type": "application/json; charset=utf-8"}).status_code == 201
    )


def test_an_answer_in_another_form_is_refused_in_ours(ask: Ask, reader) -> None:
    assert_problem(ask(reader, "GET", "stats", Accept="text/html"), 406, "Could not satisfy the request Accept header.")


# --- size ------------------------------------------------------------------------------------------------------------

TOO_LARGE = "The body has more than 1000 bytes; hand in fewer records at once."


@pytest.fixture
def thousand_bytes(settings) -> None:
    """Let bodies have a thousand bytes."""
    settings.DATAUNION = Conf(api_max_body_bytes=1000)


def _body(size: int) -> bytes:
    head = b'{"user_hash": "u", "data_type": "health", "data_id": "d", "payload": "'
    return head + b"x" * (size - len(head) - 2) + b'"}'


@pytest.mark.usefixtures("thousand_bytes")
def test_a_body_over_the_limit_is_too_large(ask: Ask, ingester) -> None:
    assert_problem(ask(ingester, "POST", "records", _body(1001)), 413, TOO_LARGE)
    assert not DataUnion.objects.exists()

    assert ask(ingester, "POST", "records", _body(1000)).status_code == 201


class _Endless(BytesIO):
    """A body that never ends, and counts what was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        self.taken += size
        return b"x" * size


def _send_in_chunks(who: Any, stream: BytesIO) -> Any:
    return Client().generic(
        "POST",
        "/api/v1/records",
        headers={"Authorization": f"Bearer {who.key}", "Transfer-Encoding": "chunked"},
        **{"CONTENT_TYPE": "application/json", "wsgi.input": stream},
    )


@pytest.mark.usefixtures("thousand_bytes")
def test_a_body_in_chunks_is_read_to_its_end(ingester) -> None:
    assert _send_in_chunks(ingester, BytesIO(_body(1000))).status_code == 201


@pytest.mark.usefixtures("thousand_bytes")
def test_a_body_in_chunks_is_read_no_further_than_the_limit(ingester) -> None:
    stream = _Endless()

    assert_problem(_send_in_chunks(ingester, stream), 413, TOO_LARGE)
    assert stream.taken <= 1 << 16
    assert not DataUnion.objects.exists()


class _Broken(BytesIO):
    """A body whose sender goes away."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


def test_a_body_that_ends_before_its_time_is_refused(ingester) -> None:
    response = _send_in_chunks(ingester, _Broken())

    assert_problem(response, 400, "The body ended before its time; send it again.")


# --- ours ------------------------------------------------------------------------------------------------------------


def test_an_error_of_ours_is_logged_and_not_shown(ask: Ask, reader, caplog: pytest.LogCaptureFixture) -> None:
    broken = DataUnionFactory(partners={"vana": 7})  # no entry: whoever reads it fails

    response = ask(reader, "GET", f"records/{broken.pk}")

    assert_problem(response, 500, INTERNAL)
    assert b"Traceback" not in response.content
    [logged] = [record for record in caplog.records if record.message == "api.failed"]
    assert logged.exc_info is not None
    assert (logged.method, logged.view) == ("GET", "OneRecord")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ingest.InvalidRecordError("user_hash", "sentence"), 400),
        (ingest.TooLargeError("sentence"), 413),
        (ingest.ConflictError("sentence"), 409),
        (roster.UnknownPartnerError("sentence"), 400),
        (retries.UnknownDataTypeError("sentence"), 400),
        (reports.ContendedError("sentence"), 503),
    ],
)
def test_errors_of_the_rooms_below_have_their_status(error: Exception, status: int) -> None:
    response = errors.handle(error, {})

    assert response.status_code == status
    assert response.data["error"] == "sentence"
    assert response.get("Retry-After") == ("1" if status == 503 else None)


def test_what_django_refuses_is_a_problem_under_api_and_a_page_elsewhere() -> None:
    client = Client(raise_request_exception=False)
    evil = {"Host": "evil.example"}

    assert_problem(
        client.get("/api/v1/stats", headers=evil),
        400,
        "This request is malformed, or asks for a host that is not allowed here.",
    )
    pages = [client.get("/admin/login/", headers=evil), client.get("/nowhere")]
    assert [page.status_code for page in pages] == [400, 404]
    assert all(page["Content-Type"].startswith("text/html") for page in pages)


def test_the_projects_own_pages_of_errors_speak_json_under_api(rf) -> None:
    assert_problem(errors.not_found(rf.get("/api"), Http404()), 404, NOWHERE)
    assert_problem(errors.server_error(rf.get("/api/v1/stats")), 500, INTERNAL)
    assert errors.server_error(rf.get("/admin/"))["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (Http404("no such thing"), 404, NOWHERE),
        (PermissionDenied(), 403, "This is not allowed."),
        (PermissionDenied("Only on Mondays."), 403, "Only on Mondays."),
    ],
)
def test_djangos_own_errors_have_their_status(error: Exception, status: int, sentence: str) -> None:
    response = errors.handle(error, {})

    assert (response.status_code, response.data["error"]) == (status, sentence)


def test_no_answer_under_api_is_a_page(ask: Ask) -> None:
    for path in ("/api/v1/stats", "/api/nowhere", "/api/v1/records/x"):
        for who in (None, AdminFactory()):
            assert "html" not in ask(who, "GET", path)["Content-Type"]


def test_nothing_is_half_written_when_a_record_is_refused(ask: Ask, ingester) -> None:
    good = {"user_hash": "u", "data_type": "health", "data_id": "d", "payload": 1}

    response = ask(ingester, "POST", "records", json.dumps([good, {**good, "data_id": "e"}]).encode()[:-1])

    assert response.status_code == 400
    assert not DataUnion.objects.exists()
    assert not SyncJob.objects.exists()
