"""Who may do what with the sandbox's buckets: Signature V4 as S3 checks it, and a policy that lets anyone get.

Only the holder of the one key pair may write or list; anyone may GET or HEAD an object whose name he knows.
Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference, read 2026-11.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

from werkzeug.wrappers import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STAMP = "%Y%m%dT%H%M%SZ"
_MAX_SKEW = timedelta(minutes=15)


class Refusal(NamedTuple):
    """Why a request is not served: HTTP status, S3's error code, a sentence."""

    status: int
    code: str
    message: str


DENIED = Refusal(403, "AccessDenied", "Access Denied")
EXPIRED = Refusal(403, "AccessDenied", "Request has expired")
UNKNOWN_KEY = Refusal(403, "InvalidAccessKeyId", "The access key id you provided does not exist in our records.")
BAD_SIGNATURE = Refusal(403, "SignatureDoesNotMatch", "The signature does not match the one that was calculated here.")
SKEWED = Refusal(
    403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
)
BAD_HASH = Refusal(400, "XAmzContentSHA256Mismatch", "The x-amz-content-sha256 header does not match the body.")


@dataclass(frozen=True, kw_only=True)
class _Signed:
    credential: str
    headers: str
    signature: str
    stamp: str
    payload_hash: str
    presigned_s: str | None = None


def refusal(request: Request, key: str, access_key_id: str, secret: str) -> Refusal | None:
    """Return why `request` for object `key` ("" for a bucket) may not be served, or None."""
    signed = _read(request)
    if signed is None:
        is_plain_read = key and request.method in ("GET", "HEAD") and not request.query_string
        return None if is_plain_read else DENIED
    if signed.credential.partition("/")[0] != access_key_id:
        return UNKNOWN_KEY
    if not hmac.compare_digest(_signature(request, signed, secret), signed.signature):
        return BAD_SIGNATURE
    if signed.presigned_s is not None:
        return EXPIRED if _is_past(signed.stamp, signed.presigned_s) else None
    if abs(datetime.now(UTC) - _read_stamp(signed.stamp)) > _MAX_SKEW:
        return SKEWED
    body_hash = hashlib.sha256(request.get_data()).hexdigest()
    return None if signed.payload_hash in (UNSIGNED, body_hash) else BAD_HASH


def _read(request: Request) -> _Signed | None:
    """Find the signature in the header or the query."""
    header = request.headers.get("Authorization", "")
    if header:
        fields: Mapping[str, str] = dict(re.findall(r"(\w+)=([^,\s]+)", header))
        stamp = request.headers.get("X-Amz-Date", "")
        payload_hash, presigned_s = request.headers.get("X-Amz-Content-SHA256", ""), None
    elif "X-Amz-Signature" in request.args:
        fields = {name.removeprefix("X-Amz-"): value for name, value in request.args.items()}
        stamp = fields.get("Date", "")
        payload_hash, presigned_s = UNSIGNED, fields.get("Expires", "0")
    else:
        return None
    return _Signed(
        credential=fields.get("Credential", ""),
        headers=fields.get("SignedHeaders", ""),
        signature=fields.get("Signature", ""),
        stamp=stamp,
        payload_hash=payload_hash,
        presigned_s=presigned_s,
    )


def _signature(request: Request, signed: _Signed, secret: str) -> str:
    path, _, query = request.environ["RAW_URI"].partition("?")
    pairs = (pair if "=" in pair else pair + "=" for pair in query.split("&") if pair)
    canonical = "\n".join(
        [
            request.method,
            path,
            "&".join(sorted(pair for pair in pairs if not pair.startswith("X-Amz-Signature="))),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed.headers.split(";")),
            "",
            signed.headers,
            signed.payload_hash,
        ]
    )
    scope = unquote(signed.credential).partition("/")[2]
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join([ALGORITHM, signed.stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.digest(key, text.encode(), "sha256").hex()


def _is_past(stamp: str, presigned_s: str) -> bool:
    return _read_stamp(stamp) + timedelta(seconds=int(presigned_s)) < datetime.now(UTC)


def _read_stamp(stamp: str) -> datetime:
    return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
