"""AWS Signature Version 4 for S3, over a request's headers. Pure but for the day's key, which is kept.

Source: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference, checked 2026-11.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import quote


class Signer:
    """One access key in one region; safe to share between threads."""

    def __init__(self, *, access_key_id: str, secret_access_key: str, region: str) -> None:
        self._id, self._secret, self._region = access_key_id, secret_access_key, region
        self._key_of = ("", b"")  # the newest day, and its key

    def sign(self, method: str, path: str, headers: Mapping[str, str], body: bytes, now: datetime) -> dict[str, str]:
        """Return `headers` with those that sign them. `path` is quoted, `headers` has Host, `now` is UTC."""
        day, digest = now.strftime("%Y%m%d"), sha256(body).hexdigest()
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        signed = {**headers, "X-Amz-Content-SHA256": digest, "X-Amz-Date": stamp}
        lines = sorted((name.lower(), value.strip()) for name, value in signed.items())
        names = ";".join(name for name, _ in lines)
        canonical = "\n".join((method, path, "", *(f"{name}:{value}" for name, value in lines), "", names, digest))
        scope = f"{day}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key(day), text.encode(), "sha256").hex()
        credential = f"Credential={self._id}/{scope}"
        authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        return {**signed, "Authorization": authorization}

    def _key(self, day: str) -> bytes:
        known, key = self._key_of
        if known != day:
            key = f"AWS4{self._secret}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key_of = (day, key)
        return key


def quote_path(bucket: str, key: str = "") -> str:
    """Return the path of a bucket or an object as it is sent and signed."""
    return quote(f"/{bucket}/{key}" if key else f"/{bucket}", safe="/-_.~")
