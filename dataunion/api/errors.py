"""Every error as `application/problem+json` (RFC 9457) with the sentence also in `error`. No traces, no HTML."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from pymongo.errors import PyMongoError
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from dataunion import ingest, reports, retries, roster

CONTENT_TYPE = "application/problem+json"
_OURS: Mapping[type[Exception], HTTPStatus] = {
    ingest.InvalidRecordError: HTTPStatus.BAD_REQUEST,
    ingest.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ingest.ConflictError: HTTPStatus.CONFLICT,
    ingest.TrackingOffError: HTTPStatus.SERVICE_UNAVAILABLE,
    roster.UnknownPartnerError: HTTPStatus.BAD_REQUEST,
    retries.UnknownDataTypeError: HTTPStatus.BAD_REQUEST,
    reports.ContendedError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_AWAY = "The database cannot be worked with now; whether this was stored is not known. Ask again: no repeat does harm."
_INTERNAL = "Something is wrong on our side; it was logged. Ask again, or tell the operator when it was."

log = logging.getLogger(__name__)


class NotFoundError(APIException):
    """There is no such thing; the message says what was looked for."""

    status_code = HTTPStatus.NOT_FOUND
    default_detail = "There is nothing at this address; /api/docs lists what there is."


class RefusedError(APIException):
    """The state of things is against it; the message says what it is."""

    status_code = HTTPStatus.CONFLICT


class BodyTooLargeError(APIException):
    """The body is over DATAUNION_API_MAX_BODY_BYTES."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def problem(status: int, sentence: str, **more: Any) -> dict[str, Any]:
    """Return a problem's members."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": int(status), "detail": sentence, "error": sentence, **more}


def status_of(error: Exception) -> HTTPStatus | None:
    """Return the status with which an error of the rooms below is answered; None for one that is our bug."""
    return next((status for kind, status in _OURS.items() if isinstance(error, kind)), None)


def members(error: Exception) -> dict[str, Any]:
    """Return what a problem says beside the sentence: the field, where one is to blame."""
    return {"field": error.field} if isinstance(error, ingest.InvalidRecordError) else {}


def is_database_away(error: Exception) -> bool:
    """Say whether the database failed us: locked, full, out of reach. MongoDB's backend has one name for all that."""
    return isinstance(error, OperationalError | InterfaceError | PyMongoError) or type(error) is DatabaseError


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer what a view raised. Called by REST framework."""
    status = status_of(error)
    if status is not None:
        response = _respond(status, str(error), **members(error))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response["Retry-After"] = "60" if isinstance(error, ingest.TrackingOffError) else "1"
        return response
    if is_database_away(error):
        log.error("api.database", extra={"type": type(error.__cause__ or error).__name__, "cause": str(error)[:200]})
        response = _respond(HTTPStatus.SERVICE_UNAVAILABLE, _AWAY)
        response["Retry-After"] = "5"
        return response
    if isinstance(error, Http404):
        error = NotFoundError()
    elif isinstance(error, PermissionDenied):
        return _respond(HTTPStatus.FORBIDDEN, str(error) or "This is not allowed.")
    if isinstance(error, APIException):
        return _answer_api_exception(error)
    request = context["request"]
    log.error("api.failed", exc_info=error, extra={"method": request.method, "view": type(context["view"]).__name__})
    return _respond(HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL)


def _answer_api_exception(error: APIException) -> Response:
    if isinstance(error, ValidationError):
        found = list(sentences(error.detail))
        fields = [{"field": field, "error": sentence} for field, sentence in found]
        return _respond(error.status_code, found[0][1], field=found[0][0], errors=fields)
    response = _respond(error.status_code, str(error.detail))
    if challenge := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    if wait_s := getattr(error, "wait", None):
        response["Retry-After"] = str(math.ceil(wait_s))
    return response


def sentences(detail: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) for everything that a validation found; nested fields are joined by dots."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from sentences(inner, ".".join(filter(None, (field, own))))
    elif isinstance(detail, list):
        for inner in detail:
            yield from sentences(inner, field)
    else:
        text = str(detail)
        joint = ": " if text[:1].isupper() else " "
        yield field, f"{field}{joint}{text}" if field else text


def _respond(status: int, sentence: str, **more: Any) -> Response:
    return Response(problem(status, sentence, **more), status=status, content_type=CONTENT_TYPE)


# --- what Django answers itself, before a view is found or outside of one: handler400 … in the project's urls -------


def _plain(status: HTTPStatus, sentence: str) -> JsonResponse:
    return JsonResponse(problem(status, sentence), status=status, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses, such as an unknown host name."""
    if not request.path_info.startswith("/api"):
        return defaults.bad_request(request, exception)
    return _plain(HTTPStatus.BAD_REQUEST, "This request is malformed, or asks for a host that is not allowed here.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that leads nowhere."""
    if not request.path_info.startswith("/api"):
        return defaults.page_not_found(request, exception)
    return _plain(HTTPStatus.NOT_FOUND, NotFoundError.default_detail)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error of ours outside of a view; Django has logged it."""
    if not request.path_info.startswith("/api"):
        return defaults.server_error(request)
    return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL)
