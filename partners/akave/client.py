"""The S3 wire: a few verbs over boto3, every failure told as a decision of `partners.errors`.

The only file with boto3.
"""

from __future__ import annotations

import logging
import os
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from botocore.parsers import ResponseParserError

from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError, UnknownOutcome

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# At DEBUG botocore logs bodies and Authorization headers.
logging.getLogger("botocore").setLevel(logging.INFO)

THROTTLED_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
TRANSIENT_CODES = {"RequestTimeout", "OperationAborted", "IncompleteBody", "InternalError"}
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

    Every method raises TransientError, UnknownOutcome (writes only), MisconfiguredError or PermanentError.
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
        max_connections: int = 32,
    ) -> None:
        self._partner = partner
        self._s3: S3Client = _session().client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                # The CRC trailers that boto3 adds by default are refused by many S3-compatible services.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"total_max_attempts": 1},
                connect_timeout=connect_timeout_s,
                read_timeout=read_timeout_s,
                max_pool_connections=max_connections,
            ),
        )

    def check_bucket(self, bucket: str) -> None:
        """Raise MisconfiguredError unless the bucket is there and ours to use."""
        if self._find(f"looking for bucket {bucket}", lambda: self._s3.head_bucket(Bucket=bucket)) is None:
            message = f"{self._partner}: bucket {bucket} does not exist; create it or set its name right"
            raise MisconfiguredError(message, http_status=404, code="NoSuchBucket")

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Store an object and return its ETag without quotes; the same bytes again change nothing."""
        action = f"uploading {key}"
        digest = md5(body, usedforsecurity=False).digest()

        def send() -> str:
            answer = self._s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentMD5=b64encode(digest).decode(),
                ContentType="application/octet-stream",
            )
            return self._etag(answer, action)

        etag = self._ask(action, send, writes=True)
        if re.fullmatch("[0-9a-f]{32}", etag) and etag != digest.hex():
            raise TransientError(
                f"{self._partner}: {action}: the stored bytes differ from those sent; it is sent again"
            )
        return etag

    def head(self, bucket: str, key: str) -> Head | None:
        """Return size and ETag, or None when there is no such object."""
        action = f"looking for {key}"

        def look() -> Head:
            answer = self._s3.head_object(Bucket=bucket, Key=key)
            return Head(size=answer["ContentLength"], etag=self._etag(answer, action))

        return self._find(action, look)

    def get(self, bucket: str, key: str, max_bytes: int) -> bytes | None:
        """Return the object, cut after `max_bytes` + 1 bytes, or None when there is no such object."""

        def read() -> bytes:
            with closing(self._s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
                return body.read(max_bytes + 1)

        return self._find(f"reading {key}", read)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        self._find(f"deleting {key}", lambda: self._s3.delete_object(Bucket=bucket, Key=key), writes=True)

    def close(self) -> None:
        """Let go of the connections."""
        self._s3.close()

    def _etag(self, answer: Any, action: str) -> str:
        etag = answer.get("ETag", "").strip('"')
        if not etag:
            what = "an answer without an ETag, which no S3 storage gives; is endpoint_url a proxy's page?"
            raise TransientError(f"{self._partner}: {action}: {what}", http_status=200)
        return str(etag)

    def _find(self, action: str, call: Callable[[], T], *, writes: bool = False) -> T | None:
        """Return what `call` returns, or None where the storage says that there is no such thing."""
        try:
            return self._ask(action, call, writes=writes)
        except PermanentError as error:
            if error.http_status == 404:
                return None
            raise

    def _ask(self, action: str, call: Callable[[], T], *, writes: bool = False) -> T:
        """Return what `call` returns; what boto3 raises becomes one of our decisions."""
        what = f"{self._partner}: {action}"
        try:
            return call()
        except ClientError as error:
            raise _from_answer(what, error) from error
        except ResponseParserError as error:
            message = f"{what}: the answer is not S3's XML; is endpoint_url a proxy's page?"
            raise TransientError(message, http_status=200) from error
        except BotoCoreError as error:
            raise _from_silence(what, error, writes) from error


def _session() -> boto3.session.Session:
    """Return a session that ignores profiles and config files of whoever runs the process."""
    core = botocore.session.Session(
        session_vars={"profile": (None, [], None, None), "config_file": (None, None, os.devnull, None)}
    )
    return boto3.session.Session(botocore_session=core)


def _from_answer(what: str, error: ClientError) -> PartnerError:
    """Classify an error that the storage answered with. Its own message is left out: it may quote our request."""
    code = re.sub(r"[^A-Za-z0-9.]", "", error.response["Error"].get("Code", ""))[:64]
    meta = error.response["ResponseMetadata"]
    status = meta["HTTPStatusCode"]
    said = f"{what}: the storage answered {status}" + (f" {code}" if code not in ("", str(status)) else "")
    if status in (429, 503) or code in THROTTLED_CODES:
        wait_s = _retry_after_s(meta["HTTPHeaders"].get("retry-after", ""))
        message = f"{said}: it is busy; it is asked again by itself"
        return TransientError(message, retry_after_s=wait_s, http_status=status, code=code)
    if code in REMEDIES or status in (301, 307, 401, 403):
        remedy = REMEDIES.get(code, "check endpoint_url, region and credentials")
        return MisconfiguredError(f"{said}; {remedy}", http_status=status, code=code)
    if code in TRANSIENT_CODES or status in (408, 409) or (status >= 500 and status != 501):
        return TransientError(f"{said}; it is tried again by itself", http_status=status, code=code)
    if status < 300:
        return TransientError(
            f"{said} with an error inside; it is tried again by itself", http_status=status, code=code
        )
    return PermanentError(f"{said}; ask the storage's operator why", http_status=status, code=code)


def _from_silence(what: str, error: BotoCoreError, writes: bool) -> PartnerError:
    """Classify a failure without a usable answer; `writes` when the request may have had its effect."""
    kind = type(error).__name__
    if isinstance(error, ConnectTimeoutError | EndpointConnectionError):
        return TransientError(f"{what}: no connection ({kind}); is endpoint_url right and the storage up?", code=kind)
    if writes:
        return UnknownOutcome(f"{what}: no answer came ({kind}); the same request is sent again")
    return TransientError(f"{what}: no answer came ({kind}); it is asked again by itself", code=kind)


def _retry_after_s(value: str) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110 section 10.2.3); None when it is neither."""
    if value.isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
