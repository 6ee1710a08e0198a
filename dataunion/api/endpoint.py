"""The base of every view: who may, and what is found by the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from dataunion.access import Scope
from dataunion.api.errors import NotFoundError
from dataunion.api.fields import Strict
from dataunion.api.parsers import BoundedRequest
from dataunion.models import DataUnion


class Endpoint(APIView):
    """A view that says which scope each of its methods needs; see auth.HasScope."""

    http_method_names = ["get", "head", "post", "put"]
    scopes: ClassVar[Mapping[str, Scope]] = {}
    for_all_staff: ClassVar[bool] = False

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Make the request one whose body may come in chunks."""
        context = self.get_parser_context(request)
        return BoundedRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=context,
        )


class UnknownPath(Endpoint):
    """What no other view answers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse, whatever the method."""
        raise NotFoundError


def read(kind: type[Strict], data: Any) -> dict[str, Any]:
    """Return what was sent as `kind` understands it. Raises ValidationError."""
    return read_by(kind(), data)


def read_by(form: Strict, data: Any) -> dict[str, Any]:
    """Return what was sent as a form understands it, which is dear to make: many are read by one. Raises likewise."""
    if not isinstance(data, Mapping):
        raise ValidationError("This should be a JSON object.")
    found: dict[str, Any] = form.run_validation(data)
    return found


def get_record(record_id: UUID) -> DataUnion:
    """Return the record. Raises NotFoundError."""
    record = DataUnion.objects.filter(pk=record_id).first()
    if record is None:
        raise NotFoundError(f"There is no record {record_id}.")
    return record
