"""S3 over plain HTTP: signed listing, anonymous reading, and the sandbox's log of what was put."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from verify.wire import Answer, UnreachableError, Wire

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class ObjectId(NamedTuple):
    """Where an object lies."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Credentials:
    """An access key; signs listings, never reading."""

    access_key_id: str
    secret: str
    region: str


@dataclass(frozen=True)
class Put:
    """One upload that reached the S3, whatever the answer was."""

    object_id: ObjectId
    sha256: str
    status: int


@dataclass(frozen=True)
class Log:
    """What the S3 was asked: uploads in their order, and what was deleted since."""

    puts: tuple[Put, ...]
    deleted: frozenset[ObjectId]


class S3:
    """One S3 service, path-style. `public_url` is what registered URLs begin with, where it is not `url`."""

    def __init__(self, wire: Wire, url: str, credentials: Credentials | None, public_url: str | None = None) -> None:
        self._wire, self._url, self._credentials = wire, url.rstrip("/"), credentials
        self._public = (public_url or url).rstrip("/")

    def list_objects(self, bucket: str) -> list[ObjectId] | None:
        """Return every object of `bucket`, or None when there is no such bucket."""
        found: list[ObjectId] = []
        token = ""
        while True:
            query = {"encoding-type": "url", "list-type": "2"} | ({"continuation-token": token} if token else {})
            answer = self._get_signed(f"/{bucket}", query)
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise UnreachableError(f"listing {bucket} was answered {answer.status}: check the S3 access key")
            keys, token = _parse_page(answer.body)
            found += (ObjectId(bucket, unquote(key)) for key in keys)
            if not token:
                return found

    def is_listable_by_anybody(self, bucket: str) -> bool:
        """Say whether a stranger gets the bucket's list, though we have an access key for it."""
        return (
            self._credentials is not None
            and self._wire.request("GET", f"{self._url}/{quote(bucket)}?list-type=2&max-keys=1").status == 200
        )

    def read(self, url: str) -> Answer:
        """GET `url` as anybody may."""
        return self._wire.request("GET", url)

    def url_of(self, object_id: ObjectId) -> str:
        """Return the address at which anybody reads the object."""
        return f"{self._public}/{quote(object_id.bucket)}/{quote(object_id.key)}"

    def locate(self, url: str) -> ObjectId | None:
        """Return which object `url` names, however it is spelled, or None when it names none of this S3."""
        mine, theirs = urlsplit(self._public), urlsplit(url)
        prefix = mine.path.rstrip("/") + "/"
        same_host = (mine.scheme, mine.netloc.lower()) == (theirs.scheme, theirs.netloc.lower())
        bucket, _, key = unquote(theirs.path.removeprefix(prefix)).partition("/")
        return ObjectId(bucket, key) if same_host and theirs.path.startswith(prefix) and bucket and key else None

    def _get_signed(self, path: str, query: dict[str, str]) -> Answer:
        base = urlsplit(self._url)
        target = quote(base.path + path)
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
        headers = {"x-amz-content-sha256": EMPTY_SHA256}
        if self._credentials:
            headers |= _sign(self._credentials, base.netloc, target, text, datetime.now(UTC))
        return self._wire.request("GET", f"{base.scheme}://{base.netloc}{target}?{text}", headers)


def _sign(credentials: Credentials, host: str, path: str, query: str, now: datetime) -> dict[str, str]:
    """Return the headers of Signature Version 4 for a GET without a body."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{credentials.region}/s3/aws4_request"
    names = "host;x-amz-content-sha256;x-amz-date"
    lines = f"host:{host}\nx-amz-content-sha256:{EMPTY_SHA256}\nx-amz-date:{stamp}\n"
    asked = f"GET\n{path}\n{query}\n{lines}\n{names}\n{EMPTY_SHA256}"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{credentials.access_key_id}/{scope}"
    value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {"x-amz-date": stamp, "Authorization": value}


def _parse_page(body: bytes) -> tuple[list[str], str]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - the operator's own S3; expat bounds entity expansion
    except ElementTree.ParseError as error:
        raise UnreachableError(f"the S3's listing is not XML: {error}") from None
    keys = [element.text or "" for element in root.iterfind("{*}Contents/{*}Key")]
    return keys, root.findtext("{*}NextContinuationToken") or ""


def read_log(wire: Wire, url: str) -> Log:
    """Read the sandbox's log: a JSON list of {method, bucket, key, sha256, size, status, fault}, oldest first."""
    answer = wire.request("GET", url)
    try:
        entries: list[dict[str, Any]] = json.loads(answer.body)
        puts = tuple(_puts(entries))
        deleted = frozenset(_deleted(entries))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreachableError(f"the S3's log was answered {answer.status} with something else than a log") from None
    return Log(puts, deleted)


def _puts(entries: list[dict[str, Any]]) -> Iterator[Put]:
    for entry in entries:
        is_stranger = entry["status"] in (401, 403)
        if entry["method"] == "PUT" and entry["key"] and not is_stranger:
            yield Put(ObjectId(entry["bucket"], entry["key"]), entry["sha256"], entry["status"] or 0)


def _deleted(entries: list[dict[str, Any]]) -> Iterator[ObjectId]:
    for entry in entries:
        if entry["method"] == "DELETE" and entry["key"] and 200 <= (entry["status"] or 0) < 300:
            yield ObjectId(entry["bucket"], entry["key"])
