"""/api/v1/records: hand in, read, retry one, report."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dataunion import ingest, retries
from dataunion.access import Scope
from dataunion.api import answers, inputs, listing, shapes
from dataunion.api.auth import caller
from dataunion.api.endpoint import Endpoint, get_record, read, read_by
from dataunion.api.errors import NotFoundError, RefusedError, members, sentences, status_of
from dataunion.api.parsers import write_json
from dataunion.api.schema import describe
from dataunion.conf import conf
from dataunion.ingest import IngestError, NewRecord, Registered
from dataunion.models import DataUnion, SyncAttempt, SyncJob
from dataunion.state import Status
from dataunion.sync import tick

_HANDED_IN = PolymorphicProxySerializer(
    component_name="HandedIn", serializers=[inputs.RecordInput, inputs.BatchInput], resource_type_field_name=None
)


class Records(Endpoint):
    """Records."""

    scopes = {"GET": Scope.READ, "POST": Scope.INGEST}

    @describe(
        {200: answers.RecordPage},
        400,
        operation_id="list_records",
        summary="List records, newest first",
        parameters=[inputs.RecordFilter],
    )
    def get(self, request: Request) -> Response:
        """Answer one page."""
        records, next_cursor = listing.find_records(**read(inputs.RecordFilter, request.query_params.dict()))
        return Response({"results": shapes.show_records(records), "next_cursor": next_cursor})

    @describe(
        {
            200: PolymorphicProxySerializer(
                component_name="Registered",
                serializers=[answers.Record, answers.BatchAnswer],
                resource_type_field_name=None,
            ),
            201: answers.Record,
        },
        400,
        409,
        413,
        operation_id="hand_in_records",
        summary="Hand in one record, or many",
        description="One record: 201 made, 200 the same again. A batch: 200 with a result for each record.",
        request=_HANDED_IN,
    )
    def post(self, request: Request) -> Response:
        """Register what was sent."""
        batch = _find_batch(request.data)
        if batch is not None:
            return Response({"results": _register_batch(batch)})
        registered = ingest.register_record(**_fields(inputs.RecordInput(), request.data))
        [shown] = shapes.show_records([registered.record])
        return Response(
            shown,
            status=201 if registered.created else 200,
            headers={"Location": f"{request.path.rstrip('/')}/{registered.record.pk}"},
        )


def _find_batch(data: Any) -> list[Any] | None:
    """Return the records of a batch, or None where one record was sent."""
    if isinstance(data, dict) and set(data) == {"records"}:
        data = data["records"]
        if not isinstance(data, list):
            raise ValidationError({"records": "should be a list"})
    if not isinstance(data, list):
        return None
    limit = conf().ingest_max_batch
    if not 0 < len(data) <= limit:
        raise ValidationError(f"Hand in 1 to {limit} records at once; these are {len(data)}.")
    return data


def _fields(form: inputs.RecordInput, item: Any) -> dict[str, Any]:
    """Return the fields of ingest.NewRecord. Raises ValidationError."""
    found = read_by(form, item)
    found["schema_name"] = found.pop("schema", "")
    if "payload" in found:
        found["payload"] = write_json(found["payload"])
    return found


def _register_batch(batch: list[Any]) -> list[dict[str, Any]]:
    """Register those that can be read, in one call; say of each what became of it."""
    results: list[dict[str, Any]] = [{} for _ in batch]
    news: dict[int, NewRecord] = {}
    form = inputs.RecordInput()
    for place, item in enumerate(batch):
        try:
            news[place] = NewRecord(**_fields(form, item))
        except ValidationError as error:
            field, sentence = next(sentences(error.detail))
            results[place] = {"status": 400, "error": sentence, "field": field}
    for place, result in zip(news, ingest.register_records(list(news.values())), strict=True):
        results[place] = _show_result(result)
    return results


def _show_result(result: Registered | IngestError) -> dict[str, Any]:
    if isinstance(result, Registered):
        return {"status": 201 if result.created else 200, "id": result.record.pk}
    return {"status": int(status_of(result) or 400), "error": str(result), **members(result)}


class OneRecord(Endpoint):
    """One record."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: answers.DetailedRecord},
        404,
        operation_id="read_record",
        summary="Read a record: where it is synced, and what stands in the way",
    )
    def get(self, request: Request, record_id: UUID) -> Response:
        """Answer the record with its open work."""
        return Response(shapes.show_in_detail(get_record(record_id)))


class Attempts(Endpoint):
    """The attempts of a record."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: answers.AttemptPage},
        400,
        404,
        operation_id="list_attempts",
        summary="List the attempts of a record, newest first",
        parameters=[inputs.PageInput],
    )
    def get(self, request: Request, record_id: UUID) -> Response:
        """Answer one page."""
        record = get_record(record_id)
        page = read(inputs.PageInput, request.query_params.dict())
        rows, next_cursor = listing.page(SyncAttempt.objects.filter(record_id=record.pk), **page)
        return Response({"results": [shapes.show_attempt(row) for row in rows], "next_cursor": next_cursor})


class RetryOne(Endpoint):
    """Retry of one record at one partner."""

    scopes = {"POST": Scope.ADMIN}

    @describe(
        {200: answers.RetryAnswer},
        404,
        409,
        operation_id="retry_record",
        summary="Retry a record at a partner now",
        request=None,
    )
    def post(self, request: Request, record_id: UUID, name: str) -> Response:
        """Make the open work due now."""
        record = get_record(record_id)
        _refuse_unknown(record, name)
        job = SyncJob.objects.filter(record_id=record.pk, partner=name).first()
        if job is None:
            raise RefusedError(f"There is nothing to retry: {name} has this record, or it was taken back.")
        if job.status == Status.BLOCKED:
            raise RefusedError(f"This is blocked, and goes on when that changes: {job.error_message}")
        reopened = retries.retry_job(job, by=caller(request))
        tick.nudge_partners({name})
        status = Status.PENDING if reopened else job.status
        return Response({"reopened": reopened, "status": status})


class RecordPartner(Endpoint):
    """One partner's part of a record."""

    scopes = {"PUT": Scope.INGEST}

    @describe(
        {200: answers.Entry},
        400,
        404,
        operation_id="report_sync",
        summary="Report a sync that was done, or failed, elsewhere",
        description="True ends the open work; false with an error marks it failed, without one makes it due.",
        request=inputs.ReportInput,
    )
    def put(self, request: Request, record_id: UUID, name: str) -> Response:
        """Store what is said."""
        record = get_record(record_id)
        _refuse_unknown(record, name)
        record.update_partner_sync(name, **read(inputs.ReportInput, request.data))
        tick.nudge_partners()
        [shown] = shapes.show_records([record])
        return Response(shown["partners"][name])


def _refuse_unknown(record: DataUnion, name: str) -> None:
    if name not in record.partners:
        raise NotFoundError(
            f"Partner {name} not found; this record has: {', '.join(sorted(record.partners)) or 'none'}"
        )
