"""Akave: encrypt a record, store it under an unguessable name, see that it is there; and take it back again."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from partners.akave.client import Head, Storage
from partners.akave.encoding import encrypt, new_record_key
from partners.base import Item, Partner, Rewind, Saved, StepResult, Verdict
from partners.errors import BlockedError, NotReady, PartnerError, PermanentError, TransientError
from partners.requirements import Option, Secret

BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
FOLDER = r"(?:\{data_type\}|[A-Za-z0-9_-])(?:\{data_type\}|[A-Za-z0-9_.-])*"
SECONDS = r"\d+(\.\d+)?"
HTTP_URL = r"https?://[^\s/?#@]+(/[^\s?#@]*)?"


class AkavePartner(Partner):
    """Stores one OpenPGP message per record; saved: record_key, bucket, key, names, etag, sha256, size, uploaded_at.

    A record whose `key` is dropped from saved is uploaded under a new name; `names` remembers every name it ever had.
    One adopted from the old service brings `url`, as it was registered elsewhere; and `adopted` where nobody knows
    whether the object is there, so that it is looked for before anything is sent.
    """

    adapter: ClassVar[str] = "akave"
    label: ClassVar[str] = "Akave"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="endpoint_url", holds="the S3 endpoint, https://host[:port]", pattern=HTTP_URL),
        Option(name="region", holds="the endpoint's region, such as akave-network", pattern=r"[a-z0-9-]+"),
        Option(name="access_key_id", holds="the id of the access key", pattern=r"\S+"),
        Secret(name="secret_access_key", holds="the secret of the access key", pattern=r"\S+"),
        Option(name="bucket_health", holds="the bucket for health records", default="health", pattern=BUCKET),
        Option(name="bucket_checkin", holds="the bucket for check-ins", default="checkin", pattern=BUCKET),
        Option(
            name="prefix",
            holds="what object names begin with: letters, digits, - _ . / and {data_type}",
            default="",
            pattern=f"({FOLDER}/)*({FOLDER})?",
        ),
        Option(
            name="public_url",
            holds="the URL under which anyone can read <bucket>/<key> for good; empty for endpoint_url",
            default="",
            pattern=HTTP_URL,
        ),
        Option(name="connect_timeout_s", holds="seconds to wait for a connection", default="5", pattern=SECONDS),
        Option(name="read_timeout_s", holds="seconds to wait for an answer", default="15", pattern=SECONDS),
        Option(name="deadline_s", holds="seconds that a whole request may take", default="25", pattern=SECONDS),
        Option(
            name="grace_s", holds="seconds after which an uploaded object must be seen", default="60", pattern=SECONDS
        ),
    )
    steps: ClassVar[tuple[str, ...]] = ("keys", "upload", "confirm")
    revoke_steps: ClassVar[tuple[str, ...]] = ("delete", "confirm_delete")
    name_keys: ClassVar[tuple[str, ...]] = ("key", "url", "adopted")
    payload_steps: ClassVar[frozenset[str]] = frozenset({"upload"})
    local_steps: ClassVar[frozenset[str]] = frozenset({"keys"})

    def __init__(self, name: str, config: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(name, config)
        self._clock = clock
        self._opening = threading.Lock()
        self._storage: Storage | None = None
        self._grace_s = float(self.config["grace_s"])
        self._public_url = (self.config["public_url"] or self.config["endpoint_url"]).rstrip("/")

    @property
    def storage(self) -> Storage:
        """The endpoint, opened when first needed: boto3 takes half a second to start."""
        with self._opening:
            if self._storage is None:
                self._storage = Storage(
                    self.name,
                    endpoint_url=self.config["endpoint_url"],
                    region=self.config["region"],
                    access_key_id=self.config["access_key_id"],
                    secret_access_key=self.config["secret_access_key"],
                    connect_timeout_s=float(self.config["connect_timeout_s"]),
                    read_timeout_s=float(self.config["read_timeout_s"]),
                    deadline_s=float(self.config["deadline_s"]),
                )
            return self._storage

    def check(self) -> Sequence[str]:
        """Look for both buckets with these credentials."""
        return tuple(self._check_bucket(bucket) for bucket in self._buckets())

    def probe(self) -> Iterator[str]:
        """Store a small object in each bucket, read it back and delete it."""
        for bucket in self._buckets():
            yield self._check_bucket(bucket)
            yield from self._try_object(bucket)

    def _buckets(self) -> list[str]:
        return sorted({self.config["bucket_health"], self.config["bucket_checkin"]})

    def _check_bucket(self, bucket: str) -> str:
        self.storage.check_bucket(bucket, step="check")
        return f"bucket {bucket} is there and open to this access key"

    def _try_object(self, bucket: str) -> Iterator[str]:
        key, body = f"connection-test-{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.storage.put(bucket, key, body, step="check")
        try:
            yield f"an object of {len(body)} random bytes was stored in {bucket}"
            if self.storage.get(bucket, key, size=len(body), step="check") != body:
                message = f"{self.name}: check: {bucket} does not give back what was stored a moment ago; try again"
                raise TransientError(message)
            yield "it was read back, byte for byte"
        finally:
            self.storage.delete(bucket, key, step="check")
        if self.storage.head(bucket, key, step="check"):
            raise TransientError(f"{self.name}: check: {bucket} still shows the object after it was deleted; try again")
        yield "it was deleted, and is gone"

    def keys(self, item: Item) -> Saved:
        """Draw record key and object name, both once: what is saved already stays."""
        bucket = self.config.get(f"bucket_{item.data_type}")
        if not bucket:
            raise BlockedError(f"{self.name}: keys: there is no bucket for records of type {item.data_type}")
        saved = item.saved if item.saved.get("record_key") else {}
        name = self.config["prefix"].replace("{data_type}", item.data_type) + secrets.token_hex(16)
        key = saved.get("key") or name
        names = [known for known in saved.get("names", ()) if known != key]
        return {
            "record_key": saved.get("record_key") or new_record_key(),
            "bucket": saved.get("bucket") or bucket,
            "key": key,
            "names": [*names, key],
        }

    def upload(self, item: Item) -> StepResult:
        """Put the same bytes under the same name as ever: again is harmless."""
        if item.saved.get("adopted"):
            return self._find_adopted(item.saved)
        if item.payload is None:
            raise ValueError("upload needs the payload")
        message = encrypt(item.payload, item.saved["record_key"])
        etag = self.storage.put(item.saved["bucket"], item.saved["key"], message, step="upload")
        sha256 = hashlib.sha256(message).hexdigest()
        return {"etag": etag, "sha256": sha256, "size": len(message), "uploaded_at": self._clock()}

    def _find_adopted(self, saved: Saved) -> StepResult:
        """Take the old service's object for ours where it is there, else begin anew under a name of ours.

        A bucket that is missing looks like a missing object, so it is asked for first; only ours are, since what
        stands in the old service's URL may be anything.
        """
        bucket, key = saved["bucket"], saved["key"]
        if bucket not in (self.config["bucket_health"], self.config["bucket_checkin"]):
            raise PermanentError(
                f"{self.name}: upload: the old service stored this record in {bucket}, which is none of our buckets; "
                "see whether it is there, and report it as synced, or set bucket_health or bucket_checkin to it",
                kind="conflict",
            )
        head = self.storage.head(bucket, key, step="upload")
        found = self.storage.get(bucket, key, size=head.size, step="upload") if head and head.size else None
        if head is None or found is None:
            self.storage.check_bucket(bucket, step="upload")
            return Rewind(step="keys", changes=dict.fromkeys(("bucket", "key", "url", "adopted")))
        sha256 = hashlib.sha256(found).hexdigest()
        return {"etag": head.etag, "sha256": sha256, "size": len(found), "uploaded_at": self._clock()}

    def confirm(self, item: Item) -> Saved | Rewind:
        """See the object with its right size and ETag, then let go of former names.

        Under another ETag it is fetched and compared, since not every storage keeps to one.

        Storage may show it late: until `grace_s` that is a wait, then an error that spends attempts, and from twice
        `grace_s` on the object is uploaded again; so an object that is lost each time ends as failed, not for ever.
        """
        saved = item.saved
        head = self.storage.head(saved["bucket"], saved["key"], step="confirm")
        if head and self._is_ours(head, saved):
            return self._drop_former_names(saved)
        age_s = self._clock() - saved.get("uploaded_at", 0)
        if age_s >= 2 * self._grace_s:
            return Rewind(step="upload")
        if head is None and age_s < self._grace_s:
            wait_s = max(0.2, min(5.0, self._grace_s / 4))
            message = f"{self.name}: confirm: the storage does not show {saved['key']} yet"
            raise NotReady(message, after_s=wait_s, at_most_s=self._grace_s)
        found = f"holds other bytes ({head.size}) than were sent ({saved['size']})" if head else "is not there"
        raise TransientError(f"{self.name}: confirm: object {saved['key']} {found}; it is uploaded again soon")

    def _is_ours(self, head: Head, saved: Saved) -> bool:
        if head.size != saved["size"] or head.etag == saved.get("etag"):
            return bool(head.size == saved["size"])
        found = self.storage.get(saved["bucket"], saved["key"], size=saved["size"], step="confirm")
        return found is not None and hashlib.sha256(found).hexdigest() == saved["sha256"]

    def _drop_former_names(self, saved: Saved) -> Saved:
        former = [] if "url" in saved else [name for name in saved.get("names", ()) if name != saved["key"]]
        for name in former:
            self.storage.delete(saved["bucket"], name, step="confirm")
        return {"names": [saved["key"]]} if former else {}

    def receipt(self, item: Item) -> Mapping[str, Any]:
        """Return {"key", "url", "etag", "sha256"}: of the encrypted object, the URL as it is registered elsewhere."""
        saved = item.saved
        url = saved.get("url") or f"{self._public_url}/{saved['bucket']}/{quote(saved['key'])}"
        return {"key": saved["key"], "url": url, "etag": saved["etag"], "sha256": saved["sha256"]}

    @classmethod
    def find_links(cls, options: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Return the encrypted object."""
        return [("The encrypted object", str(receipt["url"]))] if receipt.get("url") else []

    def refs(self, item: Item) -> Iterable[tuple[str, str]]:
        """Return the object key."""
        return (("object_key", item.saved["key"]),)

    def verify(self, item: Item) -> Verdict:
        """Fetch the object and compare its SHA-256."""
        saved = item.saved
        if not saved.get("sha256"):
            return self._verify_unknown(item)
        try:
            # Asked first, so that nothing bigger than what we put is ever fetched.
            head = self.storage.head(saved["bucket"], saved["key"], step="verify")
            size = saved["size"]
            same_size = head is not None and head.size == size
            found = self.storage.get(saved["bucket"], saved["key"], size=size, step="verify") if same_size else None
        except PartnerError as error:
            return Verdict(present=None, detail=error.message)
        if head is None:
            return Verdict(present=False, detail=f"object {saved['key']} is gone")
        if found is None or hashlib.sha256(found).hexdigest() != saved["sha256"]:
            return Verdict(present=False, detail=f"object {saved['key']} holds other bytes than were uploaded")
        return Verdict(present=True, detail=f"object {saved['key']} holds the bytes that were uploaded")

    def _verify_unknown(self, item: Item) -> Verdict:
        """Say what can be said of an object that the old service uploaded: whether it is there."""
        if not item.saved.get("key"):
            return Verdict(present=False, detail="nothing was uploaded")
        key = item.saved["key"]
        try:
            head = self.storage.head(self._bucket(item), key, step="verify")
        except PartnerError as error:
            return Verdict(present=None, detail=error.message)
        if head is None:
            return Verdict(present=False, detail=f"object {key} is gone")
        return Verdict(present=None, detail=f"object {key} is there; the old service kept no digest of its bytes")

    def _bucket(self, item: Item) -> str:
        """Return the bucket of a record's object; one that was adopted may not know it."""
        return str(item.saved.get("bucket") or self.config[f"bucket_{item.data_type}"])

    def delete(self, item: Item) -> Saved:
        """Delete the object under every name it ever had."""
        for name in _names(item.saved):
            self.storage.delete(self._bucket(item), name, step="delete")
        return {}

    def confirm_delete(self, item: Item) -> Saved:
        """See that nothing is left, then destroy our key."""
        for name in _names(item.saved):
            if self.storage.head(self._bucket(item), name, step="confirm_delete"):
                message = f"{self.name}: confirm_delete: the storage still shows {name}"
                raise NotReady(message, after_s=min(5.0, self._grace_s / 4), at_most_s=self._grace_s)
        return {"record_key": None}

    def close(self) -> None:
        """Close the connections, if any were opened."""
        with self._opening:
            storage, self._storage = self._storage, None
        if storage:
            storage.close()


def _names(saved: Saved) -> list[str]:
    return list(dict.fromkeys([*saved.get("names", ()), *([saved["key"]] if saved.get("key") else [])]))
