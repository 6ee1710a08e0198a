"""Counts: /api/v1/stats, and the old service's two endpoints under /api/users/admin/, to the letter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dataunion import retries, roster, stats
from dataunion.access import Scope
from dataunion.api import answers, inputs
from dataunion.api.auth import caller
from dataunion.api.endpoint import Endpoint, read
from dataunion.api.schema import describe
from dataunion.clock import db_now
from dataunion.sync import tick

_OLD_PARTNER = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("success", "failed", "successRate")},
    "required": ["success", "failed", "successRate"],
    "additionalProperties": False,
}
_OLD_STATS = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": _OLD_PARTNER,
    "example": {"total": 150, "akave": {"success": 145, "failed": 5, "successRate": 97}},
}


class Stats(Endpoint):
    """Counts."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: answers.Statistics},
        operation_id="read_stats",
        summary="Count what is synced where",
    )
    def get(self, request: Request) -> Response:
        """Answer the counts of this moment."""
        now, totals = db_now(), stats.read_totals()
        partners = {
            name: {**asdict(counts), "successRate": stats.success_rate(counts.synced, totals.records)}
            for name, counts in totals.partners.items()
        }
        return Response({"as_of": now, "total": totals.records, "partners": partners})


class SyncStats(Endpoint):
    """Counts in the words of the old service."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: _OLD_STATS},
        operation_id="sync_stats",
        summary="Count as the old service did",
    )
    def get(self, request: Request) -> Response:
        """Answer exactly these keys, one entry per partner that is not off."""
        totals = stats.read_totals()
        answer: dict[str, Any] = {"total": totals.records}
        for name, counts in totals.partners.items():
            rate = stats.success_rate(counts.synced, totals.records)
            answer[name] = {"success": counts.synced, "failed": counts.failed, "successRate": rate}
        return Response(answer)


class RetryFailedSyncs(Endpoint):
    """A bulk retry in the words of the old service."""

    scopes = {"POST": Scope.ADMIN}
    for_all_staff = True  # as in the old service

    @describe(
        {200: answers.RetryFailedAnswer},
        400,
        operation_id="retry_failed_syncs",
        summary="Retry all failures of a partner, as the old service did",
        request=inputs.RetryFailedInput,
    )
    def post(self, request: Request) -> Response:
        """Start a retry run; it goes on behind the answer."""
        asked = read(inputs.RetryFailedInput, request.data)
        if "partner" not in asked:
            names = ", ".join(row.name for row in roster.find_partners())
            raise ValidationError({"partner": f"is missing; it should be one of: {names}"})
        wanted = {"partner": asked["partner"], "data_type": asked.get("dataType")}
        retries.check_filter(**wanted)
        run = retries.start_run({name: value for name, value in wanted.items() if value}, by=caller(request))
        tick.nudge_partners({run.filter["partner"]})
        return Response(
            {
                "message": f"Added {run.wanted} failed syncs back to queue for retry",
                "totalFailed": run.total,
                "retryCount": run.wanted,
            }
        )
