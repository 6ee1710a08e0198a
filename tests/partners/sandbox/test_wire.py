"""The answers of a broken or hostile server, as a client sees them that reads them with care."""

from __future__ import annotations

import http.client
import socket
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from partners.sandbox.faults import Fault
from partners.sandbox.wire import GIGABYTE, METADATA_SERVICE

MEGABYTE = 1 << 20
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed() -> dict[str, str]:
    """Return the headers of a delivery of {} under the receiver's secret."""
    at = datetime.now(tz=UTC)
    signature = Webhook(SECRET).sign("msg_1", at, "{}")
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


@contextmanager
def ask(server: Any) -> Iterator[http.client.HTTPResponse]:
    """POST to the receiver; the answer's body is not read yet."""
    with closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("POST", "/hook", b"{}", signed())
        with connection.getresponse() as answer:
            yield answer


@pytest.mark.parametrize(("kind", "length"), [("huge_answer", None), ("huge_length", str(GIGABYTE))])
def test_a_huge_answer_comes_for_as_long_as_it_is_read(
    receiver: Any, wait_until: Any, kind: str, length: str | None
) -> None:
    receiver.faults.arm(Fault(kind=kind))

    with ask(receiver) as answer:
        read = answer.read(3 * MEGABYTE)

    assert (answer.status, answer.getheader("Content-Length"), read) == (200, length, bytes(3 * MEGABYTE))
    [entry] = wait_until(lambda: [entry for entry in receiver.log() if "sent" in entry])
    assert (entry["fault"], entry["sent"] < 30 * MEGABYTE) == (kind, True)


def test_a_short_answer_breaks_off(receiver: Any) -> None:
    receiver.faults.arm(Fault(kind="short_answer"))

    with ask(receiver) as answer, pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()

    assert len(caught.value.partial) == 500


def test_a_gzip_bomb_swells_a_thousandfold(receiver: Any) -> None:
    receiver.faults.arm(Fault(kind="gzip_bomb"))

    with ask(receiver) as answer:
        packed = answer.read(50_000)

    assert answer.getheader("Content-Encoding") == "gzip"
    assert len(zlib.decompressobj(31).decompress(packed)) > 20 * MEGABYTE


@pytest.mark.parametrize(
    ("text", "status", "location"),
    [("", 307, METADATA_SERVICE), ("302 http://127.0.0.1:1/admin/", 302, "http://127.0.0.1:1/admin/")],
)
def test_a_redirect_leads_where_it_is_told(receiver: Any, text: str, status: int, location: str) -> None:
    receiver.faults.arm(Fault(kind="redirect", text=text))

    with ask(receiver) as answer:
        assert (answer.status, answer.getheader("Location")) == (status, location)


def test_every_server_knows_these_answers(s3: Any, tee: Any, refiner: Any) -> None:
    for server in (s3, tee, refiner):
        fault = {"kind": "gzip_bomb"}
        assert requests.post(f"{server.url}/_sandbox/faults", json=fault, timeout=5).json()["gzip_bomb"] == 0


@pytest.mark.parametrize(("method", "code"), [("put_429", 429), ("put_503_slowdown", 503), ("put_502", 502)])
def test_a_fault_says_retry_after_in_any_words(s3: Any, client_of: Any, method: str, code: int) -> None:
    s3.faults.arm(Fault(kind=method, text="soon\n-5"))
    client, said = client_of(s3), []
    client.meta.events.register(
        "after-call.s3.PutObject", lambda http_response, **_: said.append(http_response.headers["Retry-After"])
    )

    with pytest.raises(client.exceptions.ClientError) as caught:
        client.put_object(Bucket="health", Key="k", Body=b"x")

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == code
    assert said == ["soon, -5"]


def test_a_receiver_drips(receiver: Any) -> None:
    receiver.faults.arm(Fault(kind="hook_drip", seconds=0.05))
    with socket.create_connection(("127.0.0.1", int(receiver.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

        assert (connection.recv(100), connection.recv(100)) == (b"H", b"T")


@pytest.mark.parametrize(("kind", "status", "said"), [("hook_401", 401, None), ("hook_503", 503, "7")])
def test_a_receiver_refuses(receiver: Any, kind: str, status: int, said: str | None) -> None:
    receiver.faults.arm(Fault(kind=kind, text="7"))

    with ask(receiver) as answer:
        assert (answer.status, answer.getheader("Retry-After")) == (status, said)


def test_the_credentials_of_s3_can_change(s3: Any, client_of: Any) -> None:
    s3.set_credentials("AKNEW", "new-secret")

    client_of(s3, key="AKNEW", secret="new-secret").put_object(Bucket="health", Key="k", Body=b"x")
    with pytest.raises(client_of(s3).exceptions.ClientError, match="InvalidAccessKeyId"):
        client_of(s3).put_object(Bucket="health", Key="k", Body=b"x")


def test_the_receivers_secret_can_change(receiver: Any) -> None:
    receiver.set_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx")

    with ask(receiver) as answer:
        assert answer.status == 401


def test_a_receiver_takes_in_what_it_answers_strangely(receiver: Any) -> None:
    receiver.faults.arm(Fault(kind="short_answer"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.post(f"{receiver.url}/hook", "{}", headers=signed(), timeout=5)

    assert receiver.view("received") == {"msg_1": ["{}"]}
