"""The S3 wire: signed requests, and every answer as a decision of `partners.errors`."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5, sha256
from urllib.parse import urlsplit

from partners.akave.signature import Signer, quote_path
from partners.answers import describe_clocks, parse_retry_after, read_their_time
from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.http import HttpClient, Response

_CODE = re.compile(rb"<Error>.*?<Code>([A-Za-z0-9.]+)</Code>", re.DOTALL)
MAX_ANSWER_BYTES = 100_000  # of all answers but an object
BUSY_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
PASSING_CODES = {"RequestTimeout", "OperationAborted", "IncompleteBody", "InternalError", "BadDigest"}
REMEDIES = {
    "InvalidAccessKeyId": "set access_key_id to a key that the storage knows",
    "SignatureDoesNotMatch": "set secret_access_key to the secret of access_key_id, and region to the storage's",
    "AuthorizationHeaderMalformed": "set region to the storage's",
    "AccessDenied": "let this access key read, write and delete in the bucket",
    "NoSuchBucket": "create the bucket or set its name right",
    "InvalidBucketName": "set the bucket's name right",
    "PermanentRedirect": "set endpoint_url and region to where the bucket lives",
    "RequestTimeTooSkewed": "set this machine's clock right",
}


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the storage tells of an object without sending it."""

    size: int
    etag: str


class Storage:
    """One S3 endpoint with one set of credentials; safe to share between threads.

    `step` is for messages only. Every method raises TransientError, UnknownOutcome (writes only), MisconfiguredError
    or PermanentError.
    """

    def __init__(
        self,
        partner: str,
        *,
        endpoint_url: str,
        region: str,
        access_key_id: str,
        secret_access_key: str,
        connect_timeout_s: float,
        read_timeout_s: float,
        deadline_s: float,
    ) -> None:
        self._partner = partner
        self._endpoint_url = endpoint_url.rstrip("/")
        self._host, self._base = _take_apart(partner, self._endpoint_url)
        self._signer = Signer(access_key_id=access_key_id, secret_access_key=secret_access_key, region=region)
        self._http = HttpClient(
            partner=partner,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            deadline_s=deadline_s,
            max_bytes=MAX_ANSWER_BYTES,
        )

    def check_bucket(self, bucket: str, *, step: str) -> None:
        """Raise MisconfiguredError unless the bucket is there and ours to use."""
        if self._find("HEAD", quote_path(bucket), step=step) is None:
            message = f"{self._partner}: {step}: bucket {bucket} does not exist; create it or set its name right"
            raise MisconfiguredError(message, http_status=404, code="NoSuchBucket")

    def put(self, bucket: str, key: str, body: bytes, *, step: str) -> str:
        """Store an object and return its ETag without quotes; the same bytes again change nothing.

        An ETag that looks like the MD5 of other bytes may be that of encrypted ones: then the object is fetched.
        """
        digest = md5(body, usedforsecurity=False).digest()
        headers = {"Content-MD5": b64encode(digest).decode(), "Content-Type": "application/octet-stream"}
        answer = self._ask("PUT", quote_path(bucket, key), body, headers, step=step)
        etag = self._etag(answer, step)
        looks_wrong = re.fullmatch("[0-9a-f]{32}", etag) and etag != digest.hex()
        if looks_wrong and not self._holds(bucket, key, body, step=step):
            raise TransientError(
                f"{self._partner}: {step}: the ETag tells of other bytes than were sent; they go again"
            )
        return etag

    def _holds(self, bucket: str, key: str, body: bytes, *, step: str) -> bool:
        """Say whether the storage gives back exactly these bytes; its size is asked first."""
        head = self.head(bucket, key, step=step)
        if head is None or head.size != len(body):
            return False
        found = self.get(bucket, key, size=len(body), step=step)
        return found is not None and sha256(found).digest() == sha256(body).digest()

    def head(self, bucket: str, key: str, *, step: str) -> Head | None:
        """Return size and ETag, or None when there is no such object."""
        answer = self._find("HEAD", quote_path(bucket, key), step=step)
        return Head(size=_read_size(answer), etag=self._etag(answer, step)) if answer else None

    def get(self, bucket: str, key: str, *, size: int, step: str) -> bytes | None:
        """Return the object, or None when there is no such object; one that is longer than `size` is not read."""
        answer = self._find("GET", quote_path(bucket, key), step=step, max_bytes=max(size, MAX_ANSWER_BYTES))
        return answer.body if answer else None

    def delete(self, bucket: str, key: str, *, step: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        self._find("DELETE", quote_path(bucket, key), step=step)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _find(self, method: str, path: str, *, step: str, max_bytes: int | None = None) -> Response | None:
        """Ask for something; None where the storage says that there is no such thing."""
        try:
            return self._ask(method, path, step=step, max_bytes=max_bytes)
        except PermanentError as error:
            if error.http_status == 404:
                return None
            raise

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        step: str,
        max_bytes: int | None = None,
    ) -> Response:
        """Send one signed request; return an answer that is S3's success."""
        path, now = self._base + path, datetime.now(UTC)
        signed = self._signer.sign(method, path, {"Host": self._host, **(headers or {})}, body, now)
        answer = self._http.request(
            method,
            self._endpoint_url.removesuffix(self._base) + path,
            data=body or None,
            headers=signed,
            step=step,
            unknown_on_lost=method in ("PUT", "DELETE"),
            check_status=False,
            max_bytes=max_bytes,
        )
        code = _read_code(answer, method)
        if answer.status >= 300 or code:
            raise _decision(answer, code)
        is_page = answer.is_web_page() and "ETag" not in answer.headers
        if is_page:
            message = f"{answer.source}: answered a web page, not S3; is endpoint_url a proxy's or a portal's?"
            raise TransientError(message, http_status=answer.status)
        return answer

    def _etag(self, answer: Response, step: str) -> str:
        etag = answer.headers.get("ETag", "").strip('"')
        if not etag:
            message = (
                f"{self._partner}: {step}: answered without an ETag, not S3; is endpoint_url a proxy's or a portal's?"
            )
            raise TransientError(message, http_status=200)
        return etag


def _take_apart(partner: str, endpoint_url: str) -> tuple[str, str]:
    """Return the Host header's value and what stands before every path."""
    try:
        parts = urlsplit(endpoint_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise MisconfiguredError(f"{partner}: endpoint_url is not a URL; it should look like https://host[:port]")
    name = f"[{host}]" if ":" in host else host
    is_usual = port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return (name if is_usual else f"{name}:{port}"), parts.path


def _read_size(answer: Response) -> int:
    """Return the length of an object that was not sent; -1, as long as none, where it is not told."""
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isascii() and told.isdigit() else -1


def _read_code(answer: Response, method: str) -> str:
    """Return S3's word for what went wrong, "" for none; a write may fail under a status of success."""
    if method == "GET" and answer.status < 300:
        return ""
    found = _CODE.search(answer.body)
    return found[1].decode()[:64] if found else ""


def _decision(answer: Response, code: str) -> PartnerError:
    """Classify what the storage answered."""
    status, headers, now = answer.status, answer.headers, datetime.now(UTC)
    said = f"{answer.source}: answered {status}" + (f" {code}" if code else "")
    if 300 <= status < 400:  # nothing of ours goes to wherever another one likes
        message = f"{said}, a redirect; {REMEDIES['PermanentRedirect']}"
        return MisconfiguredError(message, http_status=status, code="PermanentRedirect")
    if code in REMEDIES or status in (401, 403):
        remedy = REMEDIES.get(code, "check endpoint_url, region and credentials")
        clocks = describe_clocks(headers.get("date"), now)  # an answer to HEAD has no code
        return MisconfiguredError(f"{said}; {remedy}{clocks}", http_status=status, code=code)
    if status == 501 or (400 <= status < 500 and status not in (408, 409, 429) and code not in PASSING_CODES):
        return PermanentError(f"{said}; the same request will be refused again", http_status=status, code=code)
    busy = status in (429, 503) or code in BUSY_CODES
    after_s = parse_retry_after(headers.get("retry-after"), read_their_time(headers.get("date"), now))
    message = f"{said}; it is {'busy' if busy else 'in trouble'}"
    return TransientError(message, retry_after_s=after_s, http_status=status, code=code)
