"""What may come over a connection, and whether it may be asked again."""

from __future__ import annotations

import gzip
import threading
import zlib
from typing import Any

import pytest

from partners.errors import UnknownOutcome
from partners.exchange import _Unpacking
from tests.partners.wire import answer, failure, says

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (OK + b"content-length:2 \r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n0\r\n\r\n", b"hi"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nTrailer: z\r\n\r\n", b"hi"),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (answer(200, gzip.compress(b"hi" * 90_000), Content_Encoding="gzip"), b"hi" * 90_000),
        (answer(200, zlib.compress(b"hi"), Content_Encoding="deflate"), b"hi"),
        (answer(200, b"", Content_Encoding="gzip"), b""),
    ],
)
def test_an_answer_is_read_whole_and_the_connection_asked_again(
    serve: Any, make_client: Any, raw: bytes, body: bytes
) -> None:
    wire, client = serve(says(raw)), make_client()

    for _ in range(2):
        assert client.request("GET", wire.url, step="get", unknown_on_lost=False).body == body

    assert (wire.connections, len(wire.requests)) == (1, 2)


@pytest.mark.parametrize(
    "raw",
    [
        answer(200, b"hi", Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        answer(200, b"hi") + b"more than was said",
    ],
)
def test_a_connection_that_ends_or_says_too_much_is_not_asked_again(serve: Any, make_client: Any, raw: bytes) -> None:
    wire, client = serve(says(raw)), make_client()

    for _ in range(2):
        assert client.request("GET", wire.url, step="get", unknown_on_lost=False).body == b"hi"

    assert wire.connections == 2


def test_a_body_without_a_length_ends_with_the_connection(serve: Any, ask: Any) -> None:
    def reply(connection: Any, _: bytes) -> None:
        connection.sendall(OK + b"\r\nhi")
        connection.shutdown(2)

    assert ask(serve(reply).url).body == b"hi"


def test_a_connection_that_ended_while_idle_is_replaced(serve: Any, make_client: Any) -> None:
    ended = threading.Event()

    def reply(connection: Any, _: bytes) -> None:
        connection.sendall(answer(200, b"hi"))
        connection.shutdown(2)
        ended.set()

    wire, client = serve(reply), make_client()
    for _ in range(3):
        assert client.request("GET", wire.url, step="get", unknown_on_lost=False).body == b"hi"
        assert ended.wait(10)
        ended.clear()

    assert wire.connections == 3


def test_a_head_has_no_body_whatever_length_it_tells(serve: Any, make_client: Any) -> None:
    wire, client = serve(says(OK + b"Content-Length: 5\r\nX-Twice: a\r\nX-Twice: b\r\n\r\n")), make_client()

    for _ in range(2):
        response = client.request("HEAD", wire.url, step="head", unknown_on_lost=False)
        assert (response.body, response.headers["x-TWICE"], len(response.headers)) == (b"", "a, b", 2)

    assert wire.connections == 1


def test_a_trailer_is_no_header(serve: Any, ask: Any) -> None:
    told = OK + b"Transfer-Encoding: chunked\r\nX: a\r\n\r\n2\r\nhi\r\n0\r\nX: b\r\nRetry-After: 9\r\n\r\n"

    headers = ask(serve(says(told)).url).headers

    assert (headers["x"], headers.get("retry-after"), "Retry-After" in headers) == ("a", None, False)


def test_a_head_that_is_answered_with_a_body_is_the_last_on_its_connection(serve: Any, make_client: Any) -> None:
    wire, client = serve(says(OK + b"Content-Length: 2\r\n\r\nhi")), make_client()

    for _ in range(2):
        assert client.request("HEAD", wire.url, step="head", unknown_on_lost=False).body == b""

    assert wire.connections == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
        OK + b"X: " + b"y" * 70_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + b"X: yyyy\r\n" * 20_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        b"HTTP/1.1 150 Going On\r\nContent-Length: 3\r\n\r\nabc" + OK + b"Content-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nhi",
        answer(200, gzip.compress(b"hi" * 50)[:-9], Content_Encoding="gzip"),
    ],
)
def test_what_is_no_answer_is_lost(serve: Any, ask: Any, raw: bytes) -> None:
    error = failure(lambda: ask(serve(says(raw)).url))

    assert type(error) is UnknownOutcome
    assert error.message == "hook: send: 127.0.0.1 broke off before its answer was whole"


def test_a_body_that_ends_before_its_length_is_lost(serve: Any, ask: Any) -> None:
    def reply(connection: Any, _: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 5\r\n\r\nhi")
        connection.shutdown(2)

    assert type(failure(lambda: ask(serve(reply).url))) is UnknownOutcome


def test_a_refusal_counts_though_its_body_breaks_off(serve: Any, ask: Any) -> None:
    def reply(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 90\r\n\r\nhalf")
        connection.shutdown(2)

    assert failure(lambda: ask(serve(reply).url)).http_status == 400


def test_a_login_in_the_url_is_sent_as_http_has_it(serve: Any, ask: Any) -> None:
    wire = serve(answer())

    ask(wire.url.replace("http://", "http://us%65r:pass@") + "/a b?c=d e%20f")

    head = wire.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST /a%20b?c=d%20e%20f HTTP/1.1"
    assert b"Authorization: Basic dXNlcjpwYXNz" in head
    assert b"Content-Length: 0" in head


def test_what_follows_a_packed_body_is_not_kept() -> None:
    packed, piece = gzip.compress(b"hi"), b"x" * 65536
    unpacking = _Unpacking()

    found = [*unpacking.unpack(packed + piece), *(part for _ in range(50) for part in unpacking.unpack(piece))]

    assert (b"".join(found), unpacking.is_whole) == (b"hi", True)
    assert len(unpacking._codec.unused_data) == len(piece)
