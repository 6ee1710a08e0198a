"""The sandbox's S3: moto behind real sockets, with a log of every object request and faults on demand.

Beside its own kinds it knows those of `wire`. Its credentials can be changed while it runs.

moto keeps objects in the memory of this process: servers started in one process share them, and the last one that
stops empties it.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from partners.sandbox import wire
from partners.sandbox.control import Entry, Hangup, Reply, Sandbox, Server, html_response, retry_after
from partners.sandbox.faults import Fault
from partners.sandbox.s3_auth import Refusal, refusal

INSIDE = (
    f"AWS4-HMAC-SHA256 Credential=inside/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}"
)
NO_TRAILERS = Refusal(501, "NotImplemented", "Chunked uploads with trailing checksums are not implemented.")
ERRORS = {
    "put_429": Refusal(429, "TooManyRequests", "Please reduce your request rate."),
    "put_500": Refusal(500, "InternalError", "We encountered an internal error. Please try again."),
    "put_502": Refusal(502, "BadGateway", "Bad gateway."),
    "put_503_slowdown": Refusal(503, "SlowDown", "Please reduce your request rate."),
    "get_404": Refusal(404, "NoSuchKey", "The specified key does not exist."),
    "head_404": Refusal(404, "NoSuchKey", "The specified key does not exist."),
}


class S3(Sandbox):
    """Moto's S3 application behind the gate, the log and the faults."""

    kinds_by_method: ClassVar[dict[str, frozenset[str]]] = {
        "PUT": frozenset(
            {
                "put_429",
                "put_500",
                "put_502",
                "put_503_slowdown",
                "put_timeout",
                "put_lost_response",
                "put_hold",
                "put_reset",
            }
            | {"html_200", "wrong_etag", "flip_byte", "one_byte_a_second"}
            | wire.KINDS
        ),
        "GET": frozenset({"get_404", "html_200", "one_byte_a_second"}) | wire.KINDS,
        "HEAD": frozenset({"head_404", "redirect"}),
    }
    kinds = frozenset[str]().union(*kinds_by_method.values())
    _lock = threading.Lock()
    _live: ClassVar[int] = 0  # servers of this process that share moto's memory

    def __init__(self, *, access_key_id: str, secret: str, buckets: Sequence[str]) -> None:
        super().__init__()
        with S3._lock:
            S3._live += 1
        self._access_key_id = access_key_id
        self._secret = secret
        self._moto = create_backend_app("s3")
        self._replies: dict[str, Reply] = {
            "put_timeout": self._timeout,
            "put_lost_response": self._lost_response,
            "put_hold": self._hold,
            "put_reset": self._reset,
            "html_200": lambda request, fault, entry: html_response(),
            "wrong_etag": self._wrong_etag,
            "flip_byte": self._flip_byte,
            "one_byte_a_second": self._one_byte_a_second,
            **dict.fromkeys(wire.KINDS, partial(wire.answer, self)),
        }
        inside = Client(self._moto)
        for bucket in buckets:
            inside.put(f"/{bucket}", headers={"Authorization": INSIDE}).close()

    def answer(self, request: Request) -> Response:
        """Serve a request as S3 would, or as the fault that is due for its key would have it."""
        bucket, _, key = request.path.lstrip("/").partition("/")
        body = request.get_data()
        refused = refusal(request, key, self._access_key_id, self._secret)
        if "X-Amz-Trailer" in request.headers:
            refused = NO_TRAILERS
        if not key:
            return _error(refused, request) if refused else self._store(request, body)
        entry = self.log.add(
            method=request.method, bucket=bucket, key=key, fault="", status=None, held=False, **_digest(body)
        )
        response = _error(refused, request) if refused else self._serve(request, key, entry)
        sent = _digest(response.get_data()) if request.method == "GET" and response.status_code == 200 else {}
        self.log.complete(entry, status=response.status_code, held=False, **sent)
        return response

    def set_credentials(self, access_key_id: str, secret: str) -> None:
        """Know this access key from now on, and no other."""
        self._access_key_id, self._secret = access_key_id, secret

    def close(self) -> None:
        """Forget all objects when no other server of this process needs them."""
        with S3._lock:
            S3._live -= 1
            if not S3._live:
                s3_backends.reset()

    def _serve(self, request: Request, key: str, entry: Entry) -> Response:
        kinds = self.kinds_by_method.get(request.method, frozenset()) if not request.query_string else frozenset()
        fault = self.faults.take(kinds, key)
        if fault is None:
            return self._store(request, request.get_data())
        self.log.complete(entry, fault=fault.kind)
        if fault.kind in ERRORS:
            return _error(ERRORS[fault.kind], request, fault)
        return self._replies[fault.kind](request, fault, entry)

    def _store(self, request: Request, body: bytes) -> Response:
        """Let moto do it, as one and the same user: who may was decided before."""
        environ: dict[str, Any] = {**request.environ, "HTTP_AUTHORIZATION": INSIDE}
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return Response.from_app(self._moto, environ, buffered=True)

    def _timeout(self, request: Request, fault: Fault, entry: Entry) -> Response:
        self.log.complete(entry, held=True)
        self.hold(fault.seconds)
        self.log.complete(entry, held=False)
        raise Hangup

    def _lost_response(self, request: Request, fault: Fault, entry: Entry) -> Response:
        self._store(request, request.get_data())
        raise Hangup

    def _hold(self, request: Request, fault: Fault, entry: Entry) -> Response:
        response = self._store(request, request.get_data())
        self.log.complete(entry, held=True)
        self.hold(fault.seconds)
        return response

    def _reset(self, request: Request, fault: Fault, entry: Entry) -> Response:
        raise Hangup(reset=True)

    def _wrong_etag(self, request: Request, fault: Fault, entry: Entry) -> Response:
        response = self._store(request, request.get_data())
        response.headers["ETag"] = f'"{hashlib.md5(b"another object").hexdigest()}"'  # noqa: S324 - what an ETag is
        return response

    def _flip_byte(self, request: Request, fault: Fault, entry: Entry) -> Response:
        """Store something else, yet answer with the ETag of what was sent, as a store that rots would."""
        sent = request.get_data()
        response = self._store(request, sent[:-1] + bytes([sent[-1] ^ 1]) if sent else b"\x01")
        response.headers["ETag"] = f'"{hashlib.md5(sent).hexdigest()}"'  # noqa: S324 - what an ETag is
        return response

    def _one_byte_a_second(self, request: Request, fault: Fault, entry: Entry) -> Response:
        response = self._store(request, request.get_data())
        return self.drip(request, response, fault.seconds or 1.0)


class S3Server(Server):
    """A running S3."""

    def __init__(self, s3: S3, port: int) -> None:
        super().__init__(s3, port)
        self.set_credentials = s3.set_credentials


def start_s3(
    *, access_key_id: str, secret: str, buckets: Sequence[str] = ("health", "checkin"), port: int = 0
) -> S3Server:
    """Start the sandbox's S3 on 127.0.0.1 with these buckets; port 0 takes a free one."""
    return S3Server(S3(access_key_id=access_key_id, secret=secret, buckets=buckets), port)


def _digest(body: bytes) -> Entry:
    return {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}


def _error(refused: Refusal, request: Request, fault: Fault | None = None) -> Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refused.code}</Code>'
        f"<Message>{refused.message}</Message><Resource>{escape(request.path)}</Resource></Error>"
    )
    headers = retry_after(fault) if fault and (fault.text or refused.status == 429) else []
    return Response(text, refused.status, headers, content_type="application/xml")
