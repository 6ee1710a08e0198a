"""What /api/schema says beyond the views: how to sign in, each path once, the errors that every endpoint has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema

from dataunion.api.answers import Problem

_View = TypeVar("_View", bound=Callable[..., Any])
_ALWAYS = (401, 403, 429)
PROBLEM = "application/problem+json"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]
    """The Authorization header."""

    target_class = "dataunion.api.auth.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the scheme."""
        return {"type": "http", "scheme": "bearer", "description": "./run manage create_api_key --scope read"}


def describe(answers: dict[int, Any], *errors: int, **facts: Any) -> Callable[[_View], _View]:
    """Describe a view's method: what it answers by status, and the errors it has beside 401, 403 and 429."""
    responses = {(status, "application/json"): shape for status, shape in answers.items()}
    responses |= {(status, PROBLEM): Problem for status in (*errors, *_ALWAYS)}
    decorator: Callable[[_View], _View] = extend_schema(responses=responses, **facts)
    return decorator


def drop_slashed(endpoints: list[Any], **_: Any) -> list[Any]:
    """Leave out the paths that differ from another by their last slash only."""
    return [row for row in endpoints if not row[0].endswith("/")]
