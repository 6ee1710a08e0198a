"""/api/v1/retry-runs: bulk retries, counted first, followed, cancelled."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from dataunion import retries
from dataunion.access import Scope
from dataunion.api import answers, inputs, listing, shapes
from dataunion.api.auth import caller
from dataunion.api.endpoint import Endpoint, read
from dataunion.api.errors import NotFoundError, RefusedError
from dataunion.api.schema import describe
from dataunion.models import RetryRun
from dataunion.sync import tick


class Runs(Endpoint):
    """Retry runs."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADMIN}

    @describe(
        {200: answers.RunPage},
        400,
        operation_id="list_retry_runs",
        summary="List retry runs, newest first",
        parameters=[inputs.PageInput],
    )
    def get(self, request: Request) -> Response:
        """Answer one page."""
        rows, next_cursor = listing.page(RetryRun.objects.all(), **read(inputs.PageInput, request.query_params.dict()))
        return Response({"results": [shapes.show_run(row) for row in rows], "next_cursor": next_cursor})

    @describe(
        {200: answers.DryRun, 201: answers.Run},
        400,
        operation_id="start_retry_run",
        summary="Retry all failures that match, or count them",
        description="201 with the run, which goes on by itself; with dry_run, 200 with its counts and nothing is done.",
        request=inputs.RetryRunInput,
    )
    def post(self, request: Request) -> Response:
        """Count, or start."""
        wanted: dict[str, Any] = read(inputs.RetryRunInput, request.data)
        dry_run = wanted.pop("dry_run")
        wanted = {name: value for name, value in wanted.items() if value}
        retries.check_filter(partner=wanted.get("partner", ""), data_type=wanted.get("data_type"))
        if dry_run:
            total, reopenable = retries.count_matching(wanted)
            return Response({"dry_run": True, "total": total, "wanted": reopenable})
        run = retries.start_run(wanted, by=caller(request))
        tick.nudge_partners({wanted["partner"]})
        location = f"{request.path.rstrip('/')}/{run.pk}"
        return Response(shapes.show_run(run), status=201, headers={"Location": location})


class OneRun(Endpoint):
    """One retry run."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: answers.Run},
        404,
        operation_id="read_retry_run",
        summary="Read how far a retry run has come",
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        """Answer the run."""
        return Response(shapes.show_run(_get_run(run_id)))


class CancelRun(Endpoint):
    """The end of a retry run before its time."""

    scopes = {"POST": Scope.ADMIN}

    @describe(
        {200: answers.Run},
        404,
        409,
        operation_id="cancel_retry_run",
        summary="Cancel a retry run; what it has reopened stays so",
        request=None,
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Cancel what has not ended."""
        run = _get_run(run_id)
        if not retries.cancel_run(run):
            raise RefusedError(f"This retry run has ended already: it is {run.state}.")
        return Response(shapes.show_run(run))


def _get_run(run_id: UUID) -> RetryRun:
    run = RetryRun.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFoundError(f"There is no retry run {run_id}.")
    return run
