"""HttpClient over real sockets: every ending of a request is one decision."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from partners.errors import MisconfiguredError, TransientError, UnknownOutcome
from tests.partners.wire import answer, failure, resets, says


def test_json_goes_out_and_its_answer_comes_back(serve, ask):
    wire = serve(answer(201, b'{"id": 7}', Content_Type="application/json", X_Request_Id="abc"))

    response = ask(f"{wire.url}/rpc?x=1", json={"a": 1}, headers={"X-Token": "t"})

    assert (response.status, response.json_object(), response.headers["x-request-id"]) == (201, {"id": 7}, "abc")
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /rpc?x=1 HTTP/1.1\r\n")
    assert b"X-Token: t" in head
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == {"a": 1}


def test_data_go_out_byte_for_byte_with_the_clients_headers(serve, ask):
    wire = serve(answer())

    ask(wire.url, {"headers": {"Authorization": "Bearer t"}}, data=b"\x00\xff")

    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert b"Authorization: Bearer t" in head
    assert body == b"\x00\xff"


def test_a_connection_is_used_again(serve, make_client):
    wire, client = serve(answer()), make_client()

    for _ in range(3):
        client.request("GET", wire.url, step="get", unknown_on_lost=False)

    assert (wire.connections, len(wire.requests)) == (1, 3)


def test_threads_share_a_client_without_mixing_answers(serve, make_client):
    wire = serve(lambda c, request: c.sendall(answer(body=request.split(b" ")[1])))
    client = make_client()

    def get(number: int) -> bytes:
        return client.request("GET", f"{wire.url}/{number}", step="get", unknown_on_lost=False).body

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, range(200))) == [f"/{number}".encode() for number in range(200)]


def test_a_refusal_is_returned_as_it_is_when_status_is_not_checked(serve, ask):
    wire = serve(answer(500, b'{"error": "x"}'))

    response = ask(wire.url, check_status=False)

    assert (response.status, response.json()) == (500, {"error": "x"})


def test_no_cookie_is_kept(serve, make_client):
    wire, client = serve(answer(Set_Cookie="session=1")), make_client()

    for _ in range(2):
        client.request("GET", wire.url, step="get", unknown_on_lost=False)

    assert b"cookie" not in wire.requests[1].lower()


def endless(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def test_an_answer_without_end_is_cut_off(serve, ask):
    wire = serve(endless)

    error = failure(lambda: ask(wire.url, {"max_bytes": 10_000}))

    assert isinstance(error, TransientError)
    assert error.message == "hook: send: the answer is longer than 10000 bytes and was cut off"


def test_an_answer_may_be_cut_off_on_purpose(serve, ask):
    assert ask(serve(endless).url, {"max_bytes": 10_000}, truncate=True).body == b"x" * 10_000


def test_an_answer_that_unpacks_to_too_much_is_cut_off(serve, ask):
    wire = serve(answer(200, gzip.compress(b"\0" * 20_000_000), Content_Encoding="gzip"))

    assert "longer than 10000 bytes" in failure(lambda: ask(wire.url, {"max_bytes": 10_000})).message


@pytest.mark.parametrize(("unknown_on_lost", "kind"), [(True, UnknownOutcome), (False, TransientError)])
@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (resets, "broke off before its answer was whole"),
        (lambda c, _: c.shutdown(socket.SHUT_RDWR), "broke off before its answer was whole"),
        (says(b"SSH-2.0-dropbear\r\n\r\n"), "broke off before its answer was whole"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "did not answer in time"),
        (lambda c, _: None, "did not answer in time"),
        (
            lambda c, _: (c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), c.shutdown(socket.SHUT_RDWR)),
            "broke off before its answer was whole",
        ),
        (says(answer(200, b"no gzip", Content_Encoding="gzip")), "broke off before its answer was whole"),
    ],
)
def test_a_lost_answer_is_unknown_where_that_matters(serve, ask, reply, cause, unknown_on_lost, kind):
    wire = serve(reply)

    error = failure(
        lambda: ask(f"{wire.url}/?token=secret", {"read_timeout_s": 0.3}, data=b"x", unknown_on_lost=unknown_on_lost)
    )

    assert (type(error), error.message) == (kind, f"hook: send: 127.0.0.1 {cause}")
    assert len(wire.requests) == 1


@pytest.mark.parametrize("raw", [answer(200, b"x" * 5000), answer(200, b"", X_Long="y" * 5000)])
def test_a_byte_at_a_time_ends_with_the_deadline(serve, ask, raw):
    done = threading.Event()

    def drip(connection: socket.socket, _: bytes) -> None:
        for byte in raw:
            connection.sendall(bytes([byte]))
            done.wait(0.02)

    started = time.monotonic()
    error = failure(lambda: ask(serve(drip).url, {"deadline_s": 0.5, "read_timeout_s": 10}))
    done.set()

    assert (type(error), error.message) == (UnknownOutcome, "hook: send: 127.0.0.1 did not answer in time")
    assert time.monotonic() - started < 10


def test_a_partner_that_does_not_read_ends_with_the_deadline(make_client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = make_client(deadline_s=0.5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        error = failure(
            lambda: client.request("PUT", url, data=b"x" * 50_000_000, step="put", unknown_on_lost=True),
        )

    assert isinstance(error, UnknownOutcome)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_nothing_sent_is_never_unknown(ask):
    error = failure(lambda: ask(f"http://127.0.0.1:{free_port()}/?token=secret"))

    assert type(error) is TransientError
    assert error.message == "hook: send: 127.0.0.1 cannot be connected to; nothing was sent"


def test_a_name_that_is_not_found_is_transient(ask):
    def no_such(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    error = failure(lambda: ask("http://partner.test/", {"resolve": no_such}))

    assert type(error) is TransientError
    assert error.message == "hook: send: partner.test was not found by DNS; check the name in the URL"


def test_a_name_without_addresses_is_transient(ask):
    error = failure(lambda: ask("http://partner.test/", {"resolve": lambda host, port: []}))

    assert type(error) is TransientError


@pytest.mark.parametrize(
    "url", ["", "partner.test", "ftp://partner.test/", "http:///x", "http://a:99999/", "http://*/"]
)
def test_what_is_no_url_is_misconfigured(ask, url):
    error = failure(lambda: ask(url))

    assert type(error) is MisconfiguredError
    assert error.message == "hook: send: the URL is not one; it should look like https://host/path"


def test_a_header_that_http_forbids_is_misconfigured_and_not_shown(ask):
    error = failure(lambda: ask("http://127.0.0.1:1/", headers={"Authorization": "secret\nX: y"}))

    assert type(error) is MisconfiguredError
    assert error.message == "hook: send: a header holds a character that HTTP forbids"
