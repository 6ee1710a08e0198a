"""The permanent record (DataUnion) and the user's data (HealthData, CheckIn)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from dataunion.models._fields import Key
from dataunion.state import DataType, PartnerEntry, Status

if TYPE_CHECKING:
    from dataunion.models.job import SyncJob, SyncJobQuerySet

USER_HASH_PATTERN = r"[A-Za-z0-9_-]{1,128}"
DATA_ID_MAX_CHARS = 512
SCHEMA_NAME_MAX_CHARS = 100


class DataUnion(models.Model):
    """One record of one user, and where it is synced.

    `partners` is {name: entry}; see state.PartnerEntry. It is written by claims and ingest only, one key at a time.
    """

    id = Key()
    schema_version = models.CharField(max_length=8, default="v1")
    user_hash = models.CharField(max_length=128, validators=[RegexValidator(f"^{USER_HASH_PATTERN}$")])
    data_type = models.CharField(max_length=16, choices=[(t.value, t.value) for t in DataType])
    data_id = models.CharField(max_length=DATA_ID_MAX_CHARS)
    partners = models.JSONField(default=dict)
    counted = models.BigIntegerField(default=0)  # number of the statistics' fold that counted this record; 0: none yet
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "dataunions"
        permissions = [("export_person", "Can export all that is stored about one person")]
        verbose_name = "record"
        constraints = [models.UniqueConstraint(fields=["user_hash", "data_type", "data_id"], name="record_once")]
        indexes = [
            # Beside the unique one: MongoDB's unique indexes are partial there, and no query can use them.
            models.Index(fields=["user_hash", "data_type", "data_id"], name="record_reference"),
            models.Index(fields=["counted"], name="record_counted"),
            models.Index(fields=["data_id"], name="record_data_id"),
            models.Index(fields=["created_at"], name="record_created"),
            models.Index(fields=["data_type", "created_at"], name="record_type_created"),
        ]

    def __str__(self) -> str:
        return f"{self.data_type} {self.data_id} of {self.user_hash}"

    @classmethod
    def find_by_data_reference(cls, user_hash: str, data_type: str, data_id: str) -> DataUnion | None:
        """Return the record of this reference, or None."""
        return cls._default_manager.filter(user_hash=user_hash, data_type=data_type, data_id=data_id).first()

    @classmethod
    def find_failed_syncs(cls, partner: str, data_type: str | None = None) -> list[DataUnion]:
        """Return records that `partner` does not have because its last attempt ended in an error; newest first."""
        from dataunion.claims import find_failing_record_ids

        ids = find_failing_record_ids(partner=partner, data_type=data_type)
        found = cls._default_manager.in_bulk(ids)
        return [found[i] for i in ids if i in found]

    @classmethod
    def create_data_union(cls, *, user_hash: str, data_type: str, data_id: str) -> DataUnion:
        """Return the record of this reference, made and enrolled with every partner if there was none.

        Raises ingest.InvalidRecordError, and ingest.TrackingOffError where there is none and none is made now.
        """
        from dataunion.ingest import register_record

        return register_record(user_hash=user_hash, data_type=data_type, data_id=data_id).record

    def update_partner_sync(
        self,
        partner: str,
        is_synced: bool,
        error_message: str | None = None,
        retry_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Say from outside whether `partner` has this record; its open work follows.

        True ends the work; False with an error marks it failed, without one makes it due. `retry_data=None` keeps
        what is stored. Raises ValueError("Partner x not found").
        """
        from dataunion.reports import report_sync

        report_sync(
            record=self, partner=partner, is_synced=is_synced, error_message=error_message, retry_data=retry_data
        )
        self.refresh_from_db()

    def entry(self, partner: str) -> PartnerEntry:
        """Return the partner's entry as this object holds it. Raises ValueError("Partner x not found")."""
        if partner not in self.partners:
            raise ValueError(f"Partner {partner} not found")
        return PartnerEntry.parse(self.partners[partner])

    def state_at(self, partner: str, job: SyncJob | None) -> str:
        """Return the word for this record at a partner, from its entry and its open job; "" when it is not enrolled."""
        if job is not None:
            return job.status
        if partner not in self.partners:
            return ""
        entry = self.entry(partner)
        if entry.withdrawn_at:
            return "withdrawn"
        return "synced" if entry.is_synced else Status.PENDING

    def retry_data(self, partner: str) -> dict[str, Any]:
        """Return the partner's step results in clear: the open job's, else the entry's. Never show values of it."""
        from dataunion.claims import read_retry_data

        return read_retry_data(record=self, partner=partner)

    if TYPE_CHECKING:
        jobs: SyncJobQuerySet


class Payload(models.Model):
    """A user's data: immutable, sealed at rest. Its key is its record's key.

    `digest` is an HMAC of the content, which decides "same content". Shape of owner: {"address": "0x…",
    "public_key": "04…"} or null.
    """

    id = Key()
    user_hash = models.CharField(max_length=128)
    data_id = models.CharField(max_length=DATA_ID_MAX_CHARS)
    payload = models.BinaryField()
    size_bytes = models.IntegerField()
    digest = models.CharField(max_length=64)
    schema_name = models.CharField(max_length=SCHEMA_NAME_MAX_CHARS, default="", blank=True)
    recorded_at = models.DateTimeField(null=True)
    owner = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.data_id} of {self.user_hash}"


class HealthData(Payload):
    """Health data."""

    class Meta:
        db_table = "healthdata"
        verbose_name_plural = "health data"
        indexes = [models.Index(fields=["user_hash", "data_id"], name="health_reference")]


class CheckIn(Payload):
    """A check-in."""

    class Meta:
        db_table = "checkins"
        verbose_name = "check-in"
        indexes = [models.Index(fields=["user_hash", "data_id"], name="checkin_reference")]


PAYLOADS: Mapping[str, type[Payload]] = {DataType.HEALTH: HealthData, DataType.CHECKIN: CheckIn}
