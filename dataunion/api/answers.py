"""What is answered, as /api/schema shows it. The views build these shapes; tests hold the two together."""

from __future__ import annotations

from rest_framework import serializers

from dataunion.state import DataType, PartnerState, RunState, Status
from partners.breaker import CLOSED, HALF_OPEN, OPEN

JOB_STATUSES = [s.value for s in Status]
ENTRY_STATUSES = ["synced", "withdrawn", *JOB_STATUSES]


class Problem(serializers.Serializer):  # type: ignore[type-arg]
    """An error (RFC 9457); `error` and `detail` are the sentence."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    error = serializers.CharField()
    field = serializers.CharField(required=False)
    errors = serializers.ListField(child=serializers.DictField(), required=False)  # type: ignore[assignment]


class Entry(serializers.Serializer):  # type: ignore[type-arg]
    """One partner's part of a record; what the partner gave back (key, url, tx_hash …) stands beside these."""

    is_synced = serializers.BooleanField()
    status = serializers.ChoiceField(choices=ENTRY_STATUSES)
    error_message = serializers.CharField(allow_null=True)
    synced_at = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField()


class Job(serializers.Serializer):  # type: ignore[type-arg]
    """The open work behind an entry that is not synced."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=JOB_STATUSES)
    due_at = serializers.DateTimeField()
    attempts = serializers.IntegerField()
    step = serializers.CharField()
    error_class = serializers.CharField()
    error_message = serializers.CharField()
    changed_at = serializers.DateTimeField()


class DetailedEntry(Entry):
    """An entry with its open work; of retry_data the names of its keys, never a value."""

    retry_data_keys = serializers.ListField(child=serializers.CharField(), allow_null=True)
    job = Job(allow_null=True)


class _RecordFacts(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    schema_version = serializers.CharField()
    user_hash = serializers.CharField()
    data_type = serializers.ChoiceField(choices=list(DataType))
    data_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class Record(_RecordFacts):
    """A record."""

    partners = serializers.DictField(child=Entry())


class DetailedRecord(_RecordFacts):
    """A record with its open work."""

    partners = serializers.DictField(child=DetailedEntry())


class RecordPage(serializers.Serializer):  # type: ignore[type-arg]
    """Part of a list, newest first; next_cursor is null at its end."""

    results = Record(many=True)
    next_cursor = serializers.UUIDField(allow_null=True)


class BatchResult(serializers.Serializer):  # type: ignore[type-arg]
    """What became of one record of a batch: 201 made, 200 the same again, 400, 409 or 413 refused."""

    status = serializers.IntegerField()
    id = serializers.UUIDField(required=False)
    error = serializers.CharField(required=False)
    field = serializers.CharField(required=False)


class BatchAnswer(serializers.Serializer):  # type: ignore[type-arg]
    """One result for each record, in the order in which they were sent."""

    results = BatchResult(many=True)


class Spent(serializers.Serializer):  # type: ignore[type-arg]
    """What an attempt spent on one step: `ms` in all its runs, from the turn on in which it first ran (`since`)."""

    step = serializers.CharField()
    runs = serializers.IntegerField()
    ms = serializers.IntegerField()
    since = serializers.DateTimeField()


class Attempt(serializers.Serializer):  # type: ignore[type-arg]
    """One attempt of the past."""

    id = serializers.UUIDField()
    partner = serializers.CharField()
    number = serializers.IntegerField()
    kind = serializers.CharField()
    step = serializers.CharField()
    started_at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField()
    spent = Spent(many=True, allow_null=True)
    outcome = serializers.CharField()
    error_class = serializers.CharField()
    error_message = serializers.CharField()
    http_status = serializers.IntegerField(allow_null=True)
    code = serializers.CharField()
    trigger = serializers.CharField()


class AttemptPage(serializers.Serializer):  # type: ignore[type-arg]
    """Part of a list, newest first; next_cursor is null at its end."""

    results = Attempt(many=True)
    next_cursor = serializers.UUIDField(allow_null=True)


class RetryAnswer(serializers.Serializer):  # type: ignore[type-arg]
    """Whether the job was reopened, and how it stands now; false: its next attempt was due anyway."""

    reopened = serializers.BooleanField()
    status = serializers.ChoiceField(choices=JOB_STATUSES)


class Run(serializers.Serializer):  # type: ignore[type-arg]
    """A bulk retry: of `total` failures that matched, `wanted` can be reopened and `done` have been."""

    id = serializers.UUIDField()
    filter = serializers.DictField(child=serializers.CharField())
    asked_by = serializers.CharField()
    state = serializers.ChoiceField(choices=[s.value for s in RunState])
    total = serializers.IntegerField()
    wanted = serializers.IntegerField()
    done = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class RunPage(serializers.Serializer):  # type: ignore[type-arg]
    """Part of a list, newest first; next_cursor is null at its end."""

    results = Run(many=True)
    next_cursor = serializers.UUIDField(allow_null=True)


class DryRun(serializers.Serializer):  # type: ignore[type-arg]
    """What a run would do."""

    dry_run = serializers.BooleanField()
    total = serializers.IntegerField()
    wanted = serializers.IntegerField()


class BreakerFacts(serializers.Serializer):  # type: ignore[type-arg]
    """The circuit breaker: while it is open nothing is sent, and nothing is lost."""

    state = serializers.ChoiceField(choices=[CLOSED, OPEN, HALF_OPEN])
    probe_at = serializers.DateTimeField(allow_null=True)


class PartnerFacts(serializers.Serializer):  # type: ignore[type-arg]
    """A partner and how it does."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.ChoiceField(choices=[s.value for s in PartnerState])
    state_reason = serializers.CharField()
    state_by = serializers.CharField()
    state_at = serializers.DateTimeField(allow_null=True)
    requires = serializers.ListField(child=serializers.CharField())
    data_types = serializers.ListField(child=serializers.CharField())
    breaker = BreakerFacts()
    not_before = serializers.DateTimeField(allow_null=True)
    due = serializers.IntegerField()


class PartnerList(serializers.Serializer):  # type: ignore[type-arg]
    """Every partner."""

    results = PartnerFacts(many=True)


class PartnerCounts(serializers.Serializer):  # type: ignore[type-arg]
    """One partner's counts of records; successRate is per cent of `total`."""

    enrolled = serializers.IntegerField()
    synced = serializers.IntegerField()
    failed = serializers.IntegerField()
    pending = serializers.IntegerField()
    successRate = serializers.IntegerField()  # noqa: N815 - a public name


class Statistics(serializers.Serializer):  # type: ignore[type-arg]
    """All counts at one moment."""

    as_of = serializers.DateTimeField()
    total = serializers.IntegerField()
    partners = serializers.DictField(child=PartnerCounts())


class RetryFailedAnswer(serializers.Serializer):  # type: ignore[type-arg]
    """The old service's answer."""

    message = serializers.CharField()
    totalFailed = serializers.IntegerField()  # noqa: N815 - a public name
    retryCount = serializers.IntegerField()  # noqa: N815 - a public name
