"""What may be sent: the one description that validates and that /api/schema shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from dataunion.api.fields import AnyJson, Choice, Count, Flag, Id, JsonObject, Moment, Strict, Text
from dataunion.models.record import DATA_ID_MAX_CHARS
from dataunion.state import REOPENABLE, DataType, Status

FAILING, SYNCED = "failing", "synced"
STATUSES = [SYNCED, FAILING, *(s.value for s in Status if s != Status.DONE)]
RETRIED = [s.value for s in REOPENABLE]
PAGE = 100


class OwnerInput(Strict):
    """Whom the record belongs to on chain."""

    address = Text(help_text="0x and 40 hexadecimal digits")
    public_key = Text(required=False, help_text="uncompressed: 04 and 128 hexadecimal digits")


class RecordInput(Strict):
    """A record. The names that ingest checks have no rule here, so that there is one of each."""

    user_hash = Text(help_text="1 to 128 letters, digits, - or _; a hash, never an e-mail address")
    data_type = Text(help_text=f"one of: {', '.join(DataType)}")
    data_id = Text(help_text=f"1 to {DATA_ID_MAX_CHARS} characters, unique for this user and type")
    payload = AnyJson(required=False, help_text="the data; without it the record waits until it is handed in again")
    schema = Text(required=False, max_length=100, help_text="name of the payload's schema")
    recorded_at = Moment(required=False, allow_null=True, help_text="when it was measured, with its offset")
    owner = OwnerInput(required=False, allow_null=True)


class BatchInput(Strict):
    """Many records; a bare list of them is taken too."""

    records = RecordInput(many=True)


class PageInput(Strict):
    """Which part of a list."""

    limit = Count(required=False, default=PAGE, min_value=1, max_value=1000)
    cursor = Id(required=False, help_text="next_cursor of the answer before")


class RecordFilter(PageInput):
    """Which records."""

    user_hash = Text(required=False)
    data_type = Choice(required=False, choices=list(DataType))
    partner = Text(required=False, help_text="goes with status")
    status = Choice(required=False, choices=STATUSES, help_text="at that partner; failing: retrying, failed or blocked")
    created_after = Moment(required=False, help_text="at this time or later")
    created_before = Moment(required=False, help_text="before this time")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hold partner and status together."""
        for one, other in (("partner", "status"), ("status", "partner")):
            if one in attrs and other not in attrs:
                raise serializers.ValidationError({other: f"is missing; it goes with {one}"})
        return attrs


class ReportInput(Strict):
    """What another service did, or saw fail."""

    is_synced = Flag()
    error_message = Text(required=False, allow_null=True, allow_blank=True, max_length=2000)
    retry_data = JsonObject(required=False, allow_null=True, help_text="replaces what is stored; null keeps it")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a success with an error."""
        if attrs["is_synced"] and attrs.get("error_message"):
            raise serializers.ValidationError({"error_message": "goes with is_synced false only"})
        return attrs


class RetryRunInput(Strict):
    """Which failures to retry."""

    partner = Text()
    data_type = Text(required=False, allow_null=True)
    error_class = Text(required=False, max_length=20)
    user_hash = Text(required=False, max_length=128)
    status = Choice(required=False, choices=RETRIED)
    dry_run = Flag(required=False, default=False, help_text="true: count only")


class RetryFailedInput(Strict):
    """Which failures to retry, in the words of the old service."""

    partner = Text(required=False)
    dataType = Text(required=False, allow_null=True)  # noqa: N815 - a public name


class PauseInput(Strict):
    """Why a partner is paused."""

    reason = Text(required=False, default="", allow_blank=True, max_length=500)
