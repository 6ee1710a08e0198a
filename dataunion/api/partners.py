"""/api/v1/partners: how they do, pause and resume."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from dataunion import roster
from dataunion.access import Scope
from dataunion.api import answers, inputs
from dataunion.api.auth import caller
from dataunion.api.endpoint import Endpoint, read
from dataunion.api.errors import NotFoundError, RefusedError
from dataunion.api.schema import describe
from dataunion.clock import db_now
from dataunion.models import Partner, SyncJob
from dataunion.roster import UnknownPartnerError
from dataunion.state import PartnerState
from dataunion.sync import tick
from partners.breaker import Breaker
from partners.errors import MisconfiguredError


class Partners(Endpoint):
    """Partners."""

    scopes = {"GET": Scope.READ}

    @describe(
        {200: answers.PartnerList},
        operation_id="list_partners",
        summary="List the partners and how they do",
    )
    def get(self, request: Request) -> Response:
        """Answer all of them."""
        now = db_now()
        return Response({"results": [_show(row, now) for row in roster.find_partners()]})


class PausePartner(Endpoint):
    """Pause."""

    scopes = {"POST": Scope.ADMIN}

    @describe(
        {200: answers.PartnerFacts},
        404,
        409,
        operation_id="pause_partner",
        summary="Send nothing to a partner until it is resumed; its work waits",
        request=inputs.PauseInput,
    )
    def post(self, request: Request, name: str) -> Response:
        """Pause."""
        row = _get_partner(name)
        reason = read(inputs.PauseInput, request.data or {})["reason"]
        roster.pause(row, reason=reason or "Paused by REST.", by=caller(request))
        return Response(_show(row, db_now()))


class ResumePartner(Endpoint):
    """Resume."""

    scopes = {"POST": Scope.ADMIN}

    @describe(
        {200: answers.PartnerFacts},
        404,
        409,
        operation_id="resume_partner",
        summary="Send to a partner again",
        request=None,
    )
    def post(self, request: Request, name: str) -> Response:
        """Resume."""
        row = _get_partner(name)
        roster.resume(row, by=caller(request))
        tick.nudge_partners({name})
        return Response(_show(row, db_now()))


def _get_partner(name: str) -> Partner:
    """Return a partner that may be paused and resumed. Raises NotFoundError, RefusedError."""
    try:
        row = roster.get_partner(name)
    except UnknownPartnerError as error:
        raise NotFoundError(str(error)) from None
    if row.state == PartnerState.OFF:
        raise RefusedError(f"Partner {name} is off; staff switch it on in the admin.")
    return row


def _show(row: Partner, now: datetime) -> dict[str, Any]:
    breaker = Breaker.load(row.breaker)
    return {
        "name": row.name,
        "label": _label(row),
        "state": row.state,
        "state_reason": row.state_reason,
        "state_by": row.state_by,
        "state_at": row.state_at,
        "requires": list(roster.requirements(row)),
        "data_types": row.data_types,
        "breaker": {"state": breaker.state(now), "probe_at": breaker.reopens_at()},
        "not_before": row.not_before if row.not_before > now else None,
        "due": SyncJob.objects.due(row.name, now).count(),
    }


def _label(row: Partner) -> str:
    try:
        return roster.adapter_class(row).label
    except MisconfiguredError:
        return row.name
