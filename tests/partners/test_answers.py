"""What a status and a body mean, as they come over the wire."""

from __future__ import annotations

import datetime as dt
import json
import re
from email.utils import format_datetime

import pytest

from partners.answers import parse_json, parse_retry_after
from partners.errors import MisconfiguredError, PermanentError, TransientError
from partners.http import redact_url
from tests.partners.wire import answer, failure

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentError),
        (401, MisconfiguredError),
        (403, MisconfiguredError),
        (404, PermanentError),
        (408, TransientError),
        (409, PermanentError),
        (410, MisconfiguredError),
        (413, PermanentError),
        (425, TransientError),
        (429, TransientError),
        (500, TransientError),
        (502, TransientError),
        (503, TransientError),
        (599, TransientError),
        (999, TransientError),
    ],
)
def test_a_status_is_a_decision(serve, ask, status, kind):
    wire = serve(answer(status, b"patient zero"))

    error = failure(lambda: ask(wire.url))

    assert (type(error), error.http_status) == (kind, status)
    assert error.message.startswith(f"hook: send: answered {status}")
    assert "patient" not in error.message


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on(serve, ask, status):
    wire = serve(answer(status, Retry_After="7"))

    error = failure(lambda: ask(wire.url))

    assert isinstance(error, TransientError)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("315360000", 315360000.0),
        ("9" * 400, None),
        ("-5", None),
        ("1.5e3", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 12:02:00 GMT", 120.0),
        ("Sun, 22 Nov 2026 12:02:00 -0000", 120.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 99999 11:00:00 GMT", None),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_a_date_or_nothing(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


def test_a_redirect_is_named_and_not_followed(serve, ask):
    inside = serve(answer())
    wire = serve(answer(307, Location=f"http://user:pw@127.0.0.1:{inside.port}/latest?token=secret#x"))

    error = failure(lambda: ask(wire.url))

    assert isinstance(error, TransientError)
    assert error.message == (
        f"hook: send: answered 307, a redirect to {inside.url}/latest, which is not followed; correct the URL"
    )
    assert inside.connections == 0


def test_a_redirect_to_nowhere_is_said_so(serve, ask):
    assert "a redirect to nowhere" in failure(lambda: ask(serve(answer(302)).url)).message
    assert "a redirect to (not a URL)" in failure(lambda: ask(serve(answer(302, Location="http://[x")).url)).message


@pytest.mark.parametrize(
    ("body", "content_type", "came"),
    [
        (b"<!doctype html><p>patient", "text/html", "HTML or XML"),
        (b"  <?xml?>", "", "HTML or XML"),
        (b"", "application/json", "nothing"),
        (b'{"patient": ', "application/json; charset=utf-8", "broken JSON"),
        (b"patient", "", "broken JSON"),
        (b"patient", "text/plain", "something else"),
        (b'{"patient": NaN}', "application/json", "broken JSON"),
        (b"\xff\xfe\x00", "application/json", "broken JSON"),
        (b"[" * 1_000_000, "application/json", "broken JSON"),
        (b'{"a":' * 201 + b"0" + b"}" * 201, "application/json", "broken JSON"),
    ],
)
def test_what_is_no_json_is_named_without_its_text(serve, ask, body, content_type, came):
    response = ask(serve(answer(200, body, Content_Type=content_type)).url)

    error = failure(response.json)

    assert isinstance(error, TransientError)
    assert error.message == f"hook: send: answered {came}, not JSON; ask the partner what serves this URL"
    assert "patient" not in repr(response)


@pytest.mark.parametrize(
    "body", [b"[" * 200 + b"]" * 200, b"[" + b"[],{}," * 1000 + b"0]", b'["' + b'[\\"{\\\\' * 1000 + b'"]']
)
def test_json_that_is_wide_or_full_of_brackets_in_text_is_read(body):
    assert parse_json(body) == json.loads(body)


def test_json_of_another_kind_is_no_object(serve, ask):
    response = ask(serve(answer(200, b"[1]")).url)

    assert "answered a JSON list, not a JSON object" in failure(response.json_object).message


def test_a_web_page_is_told_from_an_answer(serve, ask):
    assert ask(serve(answer(200, b"\n<HTML><body>")).url).is_web_page()
    assert not ask(serve(answer(200, b"ok")).url).is_web_page()


def test_a_url_is_shown_without_what_may_be_secret():
    assert redact_url("https://user:pw@host.test:8443/path?token=1#x") == "https://host.test:8443/path"


@pytest.mark.parametrize(("ahead_s", "said"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_refusal_names_a_clock_that_is_wrong(serve, ask, ahead_s, said):
    theirs = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead_s)

    error = failure(lambda: ask(serve(answer(401, Date=format_datetime(theirs, usegmt=True))).url))

    assert re.search(rf"; this machine's clock is (359\d|360\d) s {said} theirs$", error.message)


def test_a_refusal_says_nothing_of_clocks_that_agree(serve, ask):
    now = format_datetime(dt.datetime.now(dt.UTC), usegmt=True)

    assert "clock" not in failure(lambda: ask(serve(answer(401, Date=now)).url)).message


def test_a_date_to_retry_after_is_read_by_the_clock_that_wrote_it(serve, ask):
    theirs = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    after = format_datetime(theirs + dt.timedelta(seconds=30), usegmt=True)

    error = failure(lambda: ask(serve(answer(503, Date=format_datetime(theirs, usegmt=True), Retry_After=after)).url))

    assert isinstance(error, TransientError)
    assert error.retry_after_s == pytest.approx(30, abs=2)
