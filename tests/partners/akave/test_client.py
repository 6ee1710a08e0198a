"""Whatever a storage answers, or does not, becomes the right decision; and what is sent is plain S3."""

import hashlib
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from partners.akave.client import Storage
from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError, UnknownOutcome
from tests.partners.akave.conftest import ACCESS
from tests.partners.wire import Wire, answer, failure, resets, says

BODY = b"what must never be shown"
HTML = b"<!doctype html><p>sign in"
Decision = type[PartnerError]


@pytest.fixture
def make_storage() -> Iterator[Callable[..., Storage]]:
    made: list[Storage] = []

    def make(url: str, **changes: Any) -> Storage:
        limits = {"region": "us-east-1", "connect_timeout_s": 1.0, "read_timeout_s": 1.0, "deadline_s": 2.0, **changes}
        made.append(Storage("akave", endpoint_url=url, **ACCESS, **limits))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


def error_body(code: str) -> bytes:
    secret = ACCESS["access_key_id"]
    return (
        f"<Error><Code>{code}</Code><Message>{secret}</Message><StringToSign>{secret}</StringToSign></Error>".encode()
    )


ANSWERS: list[tuple[int, str, Decision, str]] = [
    (429, "TooManyRequests", TransientError, "busy"),
    (503, "SlowDown", TransientError, "busy"),
    (400, "RequestTimeout", TransientError, "in trouble"),
    (500, "InternalError", TransientError, "in trouble"),
    (502, "", TransientError, "in trouble"),
    (409, "OperationAborted", TransientError, "in trouble"),
    (403, "InvalidAccessKeyId", MisconfiguredError, "set access_key_id"),
    (403, "SignatureDoesNotMatch", MisconfiguredError, "set secret_access_key"),
    (403, "AccessDenied", MisconfiguredError, "let this access key"),
    (403, "RequestTimeTooSkewed", MisconfiguredError, "clock"),
    (403, "Unheard", MisconfiguredError, "check endpoint_url"),
    (404, "NoSuchBucket", MisconfiguredError, "create the bucket"),
    (400, "AuthorizationHeaderMalformed", MisconfiguredError, "set region"),
    (301, "PermanentRedirect", MisconfiguredError, "where the bucket lives"),
    (307, "TemporaryRedirect", MisconfiguredError, "where the bucket lives"),
    (400, "InvalidArgument", PermanentError, "refused again"),
    (413, "EntityTooLarge", PermanentError, "refused again"),
    (501, "NotImplemented", PermanentError, "refused again"),
]


@pytest.mark.parametrize(("status", "code", "decision", "remedy"), ANSWERS, ids=lambda value: str(value))
def test_an_answer_becomes_a_decision_with_a_remedy(
    serve: Callable[..., Wire],
    make_storage: Callable[..., Storage],
    status: int,
    code: str,
    decision: Decision,
    remedy: str,
) -> None:
    wire = serve(answer(status, error_body(code), Content_Type="application/xml"))

    error = failure(lambda: make_storage(wire.url).put("health", "key", BODY, step="upload"))

    assert type(error) is decision
    assert error.http_status == status
    assert remedy in error.message
    assert error.message.startswith(f"akave: upload: answered {status}")
    assert not [s for s in (*ACCESS.values(), BODY.decode(), "key-") if s in error.message]


def test_an_error_page_without_xml_is_judged_by_its_status(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(answer(503, HTML, Content_Type="text/html", Retry_After="7"))

    error = failure(lambda: make_storage(wire.url).get("health", "key", size=10, step="verify"))

    assert isinstance(error, TransientError)
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("header", "low", "high"), [("30", 30, 30), (formatdate(usegmt=True), 0, 0), ("soon", None, None)]
)
def test_retry_after_is_read_as_seconds_or_date(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage], header: str, low: float | None, high: float | None
) -> None:
    wire = serve(answer(429, error_body("SlowDown"), Retry_After=header))

    error = failure(lambda: make_storage(wire.url).put("health", "key", BODY, step="upload"))

    assert isinstance(error, TransientError)
    assert error.retry_after_s in (low, high)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("put", "a web page"),
        ("head", "without an ETag"),
        ("get", "a web page"),
        ("delete", "a web page"),
    ],
)
def test_a_page_with_status_200_is_no_success(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage], call: str, told: str
) -> None:
    def reply(connection: socket.socket, request: bytes) -> None:
        page = answer(200, HTML, Content_Type="text/html")
        connection.sendall(page.removesuffix(HTML) if request.startswith(b"HEAD") else page)

    storage = make_storage(serve(reply).url)
    calls: dict[str, Callable[[], Any]] = {
        "put": lambda: storage.put("health", "key", BODY, step="upload"),
        "head": lambda: storage.head("health", "key", step="confirm"),
        "get": lambda: storage.get("health", "key", size=10, step="verify"),
        "delete": lambda: storage.delete("health", "key", step="delete"),
    }

    error = failure(calls[call])

    assert isinstance(error, TransientError)
    assert told in error.message


def test_an_error_inside_status_200_is_no_success(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(answer(200, b'<?xml version="1.0"?>\n' + error_body("InternalError"), ETag='"a"'))

    error = failure(lambda: make_storage(wire.url).put("health", "key", BODY, step="upload"))

    assert isinstance(error, TransientError)


class TestAnETagOfOtherBytes:
    """Some storages encrypt, and answer with an MD5 of what they keep: what they give back decides."""

    ETAG = hashlib.md5(b"other").hexdigest()

    def store(self, serve: Callable[..., Wire], held: bytes | None) -> Wire:
        """Start a storage that answers every upload with that ETag and holds `held`."""

        def reply(connection: socket.socket, request: bytes) -> None:
            quoted = f'"{self.ETAG}"'
            if request.startswith(b"PUT"):
                connection.sendall(answer(200, b"", ETag=quoted))
            elif held is None:
                connection.sendall(answer(404, b""))
            else:
                whole = answer(200, held, ETag=quoted)
                connection.sendall(whole.removesuffix(held) if request.startswith(b"HEAD") else whole)

        return serve(reply)

    def test_is_accepted_where_our_bytes_are_stored(
        self, serve: Callable[..., Wire], make_storage: Callable[..., Storage]
    ) -> None:
        wire = self.store(serve, BODY)

        assert make_storage(wire.url).put("health", "key", BODY, step="upload") == self.ETAG
        assert [request.split()[0] for request in wire.requests] == [b"PUT", b"HEAD", b"GET"]

    @pytest.mark.parametrize(
        ("held", "asked"),
        [
            (bytes([BODY[0] ^ 1]) + BODY[1:], [b"PUT", b"HEAD", b"GET"]),
            (BODY[:-1], [b"PUT", b"HEAD"]),
            (None, [b"PUT", b"HEAD"]),
        ],
        ids=["a flipped bit", "too short", "nothing"],
    )
    def test_is_refused_where_other_bytes_are_stored(
        self,
        serve: Callable[..., Wire],
        make_storage: Callable[..., Storage],
        held: bytes | None,
        asked: list[bytes],
    ) -> None:
        wire = self.store(serve, held)

        error = failure(lambda: make_storage(wire.url).put("health", "key", BODY, step="upload"))

        assert type(error) is TransientError
        assert "other bytes" in error.message
        assert [request.split()[0] for request in wire.requests] == asked


def test_an_endpoint_that_is_no_url_is_a_misconfiguration(make_storage: Callable[..., Storage]) -> None:
    error = failure(lambda: make_storage("http://[::1"))

    assert type(error) is MisconfiguredError
    assert error.message == "akave: endpoint_url is not a URL; it should look like https://host[:port]"


def test_an_endpoint_may_have_a_path_and_a_name_that_wants_quoting(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(answer(200, b"", ETag='"a-1"'))

    make_storage(f"{wire.url}/s3/").put("health", "a b/c+d", BODY, step="upload")

    assert wire.requests[0].startswith(b"PUT /s3/health/a%20b/c%2Bd HTTP/1.1\r\n")


def test_an_etag_that_is_no_md5_is_taken_as_it_is(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(answer(200, b"", ETag='"bafybeigdyrzt5-1"'))

    assert make_storage(wire.url).put("health", "key", BODY, step="upload") == "bafybeigdyrzt5-1"


def test_no_answer_to_a_write_is_an_unknown_outcome(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(lambda connection, request: connection.close())
    storage = make_storage(wire.url)

    assert type(failure(lambda: storage.put("health", "key", BODY, step="upload"))) is UnknownOutcome
    assert type(failure(lambda: storage.delete("health", "key", step="delete"))) is UnknownOutcome
    assert type(failure(lambda: storage.head("health", "key", step="confirm"))) is TransientError
    assert type(failure(lambda: storage.get("health", "key", size=10, step="verify"))) is TransientError
    assert len(wire.requests) == 4


def test_a_reset_and_a_silence_are_unknown_outcomes(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    silent = make_storage(serve(lambda connection, request: None).url, read_timeout_s=0.2)
    rude = make_storage(serve(resets).url)

    for storage in (silent, rude):
        assert type(failure(lambda s=storage: s.put("health", "key", BODY, step="upload"))) is UnknownOutcome


def test_a_dripping_answer_ends_at_the_deadline(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    def drip(connection: socket.socket, request: bytes) -> None:
        for byte in answer(200, b"", ETag='"a"'):
            connection.sendall(bytes([byte]))
            if wire.stopping.wait(0.05):
                return

    wire = serve(drip)
    storage = make_storage(wire.url, deadline_s=0.3)

    assert type(failure(lambda: storage.put("health", "key", BODY, step="upload"))) is UnknownOutcome


def test_no_connection_is_transient(make_storage: Callable[..., Storage]) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()

    error = failure(lambda: make_storage(f"http://127.0.0.1:{port}").put("health", "key", BODY, step="upload"))

    assert type(error) is TransientError
    assert error.message == "akave: upload: 127.0.0.1 cannot be connected to; nothing was sent"


def test_an_unknown_host_is_transient(make_storage: Callable[..., Storage]) -> None:
    error = failure(lambda: make_storage("http://nowhere.invalid").put("health", "key", BODY, step="upload"))

    assert type(error) is TransientError


def test_an_upload_is_one_plain_signed_request(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(answer(200, b"", ETag='"a-1"'))

    make_storage(wire.url).put("health", "a/key", BODY, step="upload")

    (request,) = wire.requests
    head, _, body = request.partition(b"\r\n\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.decode().split("\r\n")[1:])}
    assert head.startswith(b"PUT /health/a/key HTTP/1.1\r\n")
    assert body == BODY
    assert headers["content-md5"] == b64encode(hashlib.md5(BODY).digest()).decode()
    assert headers["x-amz-content-sha256"] == hashlib.sha256(BODY).hexdigest()
    assert not [name for name in headers if "checksum" in name or "trailer" in name or name in ("expect", "te")]


def test_nothing_there_is_none_and_deletes_twice(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    def missing(connection: socket.socket, request: bytes) -> None:
        body = b"" if request.startswith(b"HEAD") else error_body("NoSuchKey")
        connection.sendall(answer(404, body))

    storage = make_storage(serve(missing).url)

    assert storage.head("health", "key", step="confirm") is None
    assert storage.get("health", "key", size=10, step="verify") is None
    storage.delete("health", "key", step="delete")
    assert "does not exist" in failure(lambda: storage.check_bucket("health", step="check")).message


def test_a_refused_read_is_not_taken_for_a_missing_object(
    serve: Callable[..., Wire], make_storage: Callable[..., Storage]
) -> None:
    wire = serve(says(answer(400, error_body("InvalidArgument"))))

    assert type(failure(lambda: make_storage(wire.url).get("health", "key", size=10, step="verify"))) is PermanentError
