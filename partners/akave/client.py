"""The S3 wire: boto3 signs and parses, `partners.http` sends; every failure is a decision of `partners.errors`.

The only file with boto3.
"""

from __future__ import annotations

import io
import logging
import os
import re
from base64 import b64encode
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, InvalidRegionError
from urllib3 import HTTPResponse

from partners.answers import describe_clocks, parse_retry_after, read_their_time
from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.http import HttpClient, Response

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# At DEBUG botocore logs bodies and Authorization headers.
logging.getLogger("botocore").setLevel(logging.INFO)

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
        self._step: ContextVar[str] = ContextVar("step")
        self._max_bytes: ContextVar[int | None] = ContextVar("max_bytes", default=None)
        self._http = HttpClient(
            partner=partner,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            deadline_s=deadline_s,
            max_bytes=MAX_ANSWER_BYTES,
        )
        self._s3 = _open(
            partner,
            endpoint_url=endpoint_url,
            region=region,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
        )
        self._s3.meta.events.register("before-send.s3", self._send)

    def check_bucket(self, bucket: str, *, step: str) -> None:
        """Raise MisconfiguredError unless the bucket is there and ours to use."""
        if self._find(step, lambda: self._s3.head_bucket(Bucket=bucket)) is None:
            message = f"{self._partner}: {step}: bucket {bucket} does not exist; create it or set its name right"
            raise MisconfiguredError(message, http_status=404, code="NoSuchBucket")

    def put(self, bucket: str, key: str, body: bytes, *, step: str) -> str:
        """Store an object and return its ETag without quotes; the same bytes again change nothing.

        An ETag that looks like the MD5 of other bytes may be that of encrypted ones: then the object is fetched.
        """
        digest = md5(body, usedforsecurity=False).digest()
        answer = self._ask(
            step,
            lambda: self._s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentMD5=b64encode(digest).decode(),
                ContentType="application/octet-stream",
            ),
        )
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
        answer = self._find(step, lambda: self._s3.head_object(Bucket=bucket, Key=key))
        return answer and Head(size=answer["ContentLength"], etag=self._etag(answer, step))

    def get(self, bucket: str, key: str, *, size: int, step: str) -> bytes | None:
        """Return the object, or None when there is no such object; one that is longer than `size` is not read."""
        token = self._max_bytes.set(max(size, MAX_ANSWER_BYTES))
        try:
            return self._find(step, lambda: self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        finally:
            self._max_bytes.reset(token)

    def delete(self, bucket: str, key: str, *, step: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        self._find(step, lambda: self._s3.delete_object(Bucket=bucket, Key=key))

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()
        self._s3.close()

    def _send(self, request: AWSPreparedRequest, **_: Any) -> Any:
        """Send what boto3 has signed: its own transport knows no deadline for a whole request."""
        body = request.body.read() if isinstance(request.body, io.BytesIO) else None
        headers = {k: v if isinstance(v, str) else v.decode() for k, v in request.headers.items() if k != "Expect"}
        answer = self._http.request(
            request.method,
            request.url,
            data=body or None,
            headers=headers,
            step=self._step.get(),
            unknown_on_lost=request.method in ("PUT", "DELETE"),
            check_status=False,
            max_bytes=self._max_bytes.get(),
        )
        self._refuse_what_is_not_s3(answer)
        raw = HTTPResponse(io.BytesIO(answer.body), preload_content=False)
        return AWSResponse(request.url, answer.status, HTTPHeaders.from_dict(answer.headers), raw)

    def _refuse_what_is_not_s3(self, answer: Response) -> None:
        if 300 <= answer.status < 400:  # boto3 would follow, asking for the bucket's region, for ever
            message = f"{answer.source}: answered {answer.status}, a redirect; {REMEDIES['PermanentRedirect']}"
            raise MisconfiguredError(message, http_status=answer.status, code="PermanentRedirect")
        is_page = answer.body.lstrip()[:5].lower() in (b"<!doc", b"<html") and "ETag" not in answer.headers
        if answer.status < 300 and is_page:
            message = f"{answer.source}: answered a web page, not S3; is endpoint_url a proxy's or a portal's?"
            raise TransientError(message, http_status=answer.status)

    def _etag(self, answer: Any, step: str) -> str:
        etag = answer.get("ETag", "").strip('"')
        if not etag:
            message = (
                f"{self._partner}: {step}: answered without an ETag, not S3; is endpoint_url a proxy's or a portal's?"
            )
            raise TransientError(message, http_status=200)
        return str(etag)

    def _find(self, step: str, call: Callable[[], T]) -> T | None:
        """Return what `call` returns, or None where the storage says that there is no such thing."""
        try:
            return self._ask(step, call)
        except PermanentError as error:
            if error.http_status == 404:
                return None
            raise

    def _ask(self, step: str, call: Callable[[], T]) -> T:
        """Return what `call` returns; what boto3 raises becomes one of our decisions."""
        token = self._step.set(step)
        source = f"{self._partner}: {step}"
        try:
            return call()
        except ClientError as error:
            raise _decision(source, error) from None  # its text may quote our request
        except BotoCoreError as error:
            message = f"{source}: boto3 refuses the request ({type(error).__name__}); correct the configuration"
            raise MisconfiguredError(message, code=type(error).__name__) from None
        finally:
            self._step.reset(token)


def _open(partner: str, *, endpoint_url: str, region: str, access_key_id: str, secret_access_key: str) -> S3Client:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        # The CRC trailers that boto3 adds by default are refused by many S3-compatible services.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
    )
    try:
        return _session().client(
            "s3",
            config=config,
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
        )
    except InvalidRegionError:
        raise MisconfiguredError(f"{partner}: region is not one that boto3 takes; correct it") from None
    except Exception:  # mostly a ValueError for a host with an underscore; no other option is looked at here
        message = f"{partner}: endpoint_url is not one that boto3 takes; a host has letters, digits, - and . only"
        raise MisconfiguredError(message) from None


def _session() -> boto3.session.Session:
    """Return a session that ignores profiles and config files of whoever runs the process."""
    core = botocore.session.Session(
        session_vars={"profile": (None, [], None, None), "config_file": (None, None, os.devnull, None)}
    )
    return boto3.session.Session(botocore_session=core)


def _decision(source: str, error: ClientError) -> PartnerError:
    """Classify what the storage answered."""
    code = re.sub(r"[^A-Za-z0-9.]", "", error.response["Error"].get("Code") or "")[:64]
    meta = error.response["ResponseMetadata"]
    status, headers, now = meta["HTTPStatusCode"], meta["HTTPHeaders"], datetime.now(UTC)
    said = f"{source}: answered {status}" + (f" {code}" if code not in ("", str(status)) else "")
    if code in REMEDIES or status in (401, 403):
        remedy = REMEDIES.get(code, "check endpoint_url, region and credentials")
        clocks = describe_clocks(headers.get("date"), now)  # an answer to HEAD has no code
        return MisconfiguredError(f"{said}; {remedy}{clocks}", http_status=status, code=code)
    if status == 501 or (400 <= status < 500 and status not in (408, 409, 429) and code not in PASSING_CODES):
        return PermanentError(f"{said}; the same request will be refused again", http_status=status, code=code)
    busy = status in (429, 503) or code in BUSY_CODES
    after_s = parse_retry_after(headers.get("retry-after"), read_their_time(headers.get("date"), now))
    message = f"{said}; it is {'busy' if busy else 'in trouble'} and asked again later"
    return TransientError(message, retry_after_s=after_s, http_status=status, code=code)
